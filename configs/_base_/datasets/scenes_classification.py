"""Drawn scenes of one object with labels, 48 x 48: the whole picture, flipped in training.

Any folder with one subfolder per class takes its place by data_root and data_prefix.
"""

__train_pipeline = [
    dict(type="LoadImage"),
    dict(
        type="RandomResizedCrop",
        scale=48,
        crop_ratio_range=(1.0, 1.0),
        aspect_ratio_range=(1.0, 1.0),
        backend="pillow",
        interpolation="bicubic",
    ),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackInputs"),
]
__test_pipeline = [
    dict(type="LoadImage"),
    dict(type="Resize", scale=(48, 48), backend="pillow", interpolation="bicubic"),
    dict(type="PackInputs"),
]

train_dataloader = dict(
    batch_size=16,
    num_workers=2,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        type="IndexedImages",
        data_root="data/scenes/few",
        data_prefix="train",
        pipeline=__train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=128,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        type="IndexedImages",
        data_root="data/scenes/few",
        data_prefix="val",
        pipeline=__test_pipeline,
    ),
)
val_evaluator = dict(type="Accuracy", topk=(1,))
test_dataloader = val_dataloader
test_evaluator = val_evaluator
