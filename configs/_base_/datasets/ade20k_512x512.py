"""ADE20K, 150 classes, 2 images per GPU: scale 0.5..2, crops of 512; short side 512 in tests.

data/ade/ADEChallengeData2016/{images,annotations}/{training,validation}; ADE20KDataset
ignores label 0 and counts the classes from 1.
"""

data_root = "data/ade/ADEChallengeData2016"
crop_size = (512, 512)

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="LoadAnnotations"),
    dict(type="RandomResize", scale=(2048, 512), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="Resize", scale=(2048, 512), keep_ratio=True),
    dict(type="LoadAnnotations"),  # behind Resize: the truth keeps its size
    dict(type="PackSegInputs"),
]
# Ratios 0.5, 0.75, 1, 1.25, 1.5, 1.75 of a short side of 512, which is never less than the crop:
# the first three are all 512 and count three times, as with the authors' SETR_Resize.
tta_pipeline = [
    dict(type="LoadImage"),
    dict(
        type="TestTimeAug",
        transforms=[
            [
                dict(type="ResizeShortestEdge", scale=512, max_size=16384),
                dict(type="ResizeShortestEdge", scale=512, max_size=16384),
                dict(type="ResizeShortestEdge", scale=512, max_size=16384),
                dict(type="ResizeShortestEdge", scale=640, max_size=16384),
                dict(type="ResizeShortestEdge", scale=768, max_size=16384),
                dict(type="ResizeShortestEdge", scale=896, max_size=16384),
            ],
            [
                dict(type="RandomFlip", prob=0.0, direction="horizontal"),
                dict(type="RandomFlip", prob=1.0, direction="horizontal"),
            ],
            [dict(type="LoadAnnotations")],
            [dict(type="PackSegInputs")],
        ],
    ),
]

train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        type="ADE20KDataset",
        data_root=data_root,
        data_prefix=dict(img_path="images/training", seg_map_path="annotations/training"),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="ADE20KDataset",
        data_root=data_root,
        data_prefix=dict(img_path="images/validation", seg_map_path="annotations/validation"),
        pipeline=test_pipeline,
    ),
)
val_evaluator = dict(type="IoUMetric", iou_metrics=["mIoU"])
test_dataloader = val_dataloader
test_evaluator = val_evaluator
