"""Drawn scenes of several objects with boxes and masks, 64 x 64, as they are.

data/scenes/det/{train,val}/*.png and instances_{train,val}.json, which has 20 of the pictures to
train on; any COCO file takes their place by data_root, ann_file and data_prefix, with its class
names in metainfo.
"""

__data_root = "data/scenes/det/"
__classes = ("disc", "square", "triangle", "star", "cross", "ring", "crescent", "heart")

__train_pipeline = [
    dict(type="LoadImage"),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="Resize", scale=(64, 64), keep_ratio=True),  # scenes have this size already
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
__test_pipeline = [
    dict(type="LoadImage"),
    dict(type="Resize", scale=(64, 64), keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(
        type="PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]

train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type="CocoDataset",
        metainfo=dict(classes=__classes),
        data_root=__data_root,
        ann_file="instances_train.json",
        data_prefix=dict(img="train/"),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=__train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="CocoDataset",
        metainfo=dict(classes=__classes),
        data_root=__data_root,
        ann_file="instances_val.json",
        data_prefix=dict(img="val/"),
        test_mode=True,
        pipeline=__test_pipeline,
    ),
)
val_evaluator = dict(
    type="CocoMetric", ann_file=__data_root + "instances_val.json", metric=["bbox", "segm"]
)
test_dataloader = val_dataloader
test_evaluator = val_evaluator
