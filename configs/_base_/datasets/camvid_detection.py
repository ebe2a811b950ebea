"""CamVid street scenes with boxes and masks of four classes: crops of 192 x 256, whole tests.

data/camvid/images/{training,validation} and instances_{training,validation}.json.
"""

__data_root = "data/camvid/"
__metainfo = dict(
    classes=("sign", "car", "pedestrian", "bicyclist"),
    palette=[(192, 128, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192)],
)

__train_pipeline = [
    dict(type="LoadImage"),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="RandomCrop", crop_size=(192, 256), crop_type="absolute"),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
__test_pipeline = [
    dict(type="LoadImage"),
    dict(type="Resize", scale=(480, 360), keep_ratio=True),
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
        metainfo=__metainfo,
        data_root=__data_root,
        ann_file="instances_training.json",
        data_prefix=dict(img="images/training/"),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=__train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="CocoDataset",
        metainfo=__metainfo,
        data_root=__data_root,
        ann_file="instances_validation.json",
        data_prefix=dict(img="images/validation/"),
        test_mode=True,
        pipeline=__test_pipeline,
    ),
)
val_evaluator = dict(
    type="CocoMetric", ann_file=__data_root + "instances_validation.json", metric=["bbox", "segm"]
)
test_dataloader = val_dataloader
test_evaluator = val_evaluator
