"""Drawn scenes of several objects, 64 x 64: background and eight shapes.

data/scenes/seg/{images,annotations}/{training,validation}; any folders laid out like this
take their place by data_root and img_suffix, with their class names in metainfo.
"""

__data_root = "data/scenes/seg"
__classes = (
    "background",
    "disc",
    "square",
    "triangle",
    "star",
    "cross",
    "ring",
    "crescent",
    "heart",
)

__train_pipeline = [
    dict(type="LoadImage"),
    dict(type="LoadMask"),
    dict(type="Resize", scale=(64, 64), keep_ratio=False),  # scenes have this size already
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackSegInputs"),
]
__test_pipeline = [
    dict(type="LoadImage"),
    dict(type="Resize", scale=(64, 64), keep_ratio=False),
    dict(type="LoadMask"),  # behind Resize: the truth keeps its size
    dict(type="PackSegInputs"),
]

train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        type="BaseSegDataset",
        metainfo=dict(classes=__classes),
        img_suffix=".png",
        data_root=__data_root,
        data_prefix=dict(img_path="images/training", seg_map_path="annotations/training"),
        pipeline=__train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="BaseSegDataset",
        metainfo=dict(classes=__classes),
        img_suffix=".png",
        data_root=__data_root,
        data_prefix=dict(img_path="images/validation", seg_map_path="annotations/validation"),
        pipeline=__test_pipeline,
    ),
)
val_evaluator = dict(type="IoUMetric", iou_metrics=["mIoU"])
test_dataloader = val_dataloader
test_evaluator = val_evaluator
