"""Drawn scenes of one object without labels for ExtreMA, 48 x 48 in 6 x 6 patches of 8.

data/scenes/imagefolder/train/CLASS/*.jpg (tools/make_scenes.py); for images of one's own
set train_dataloader.dataset.data_root and data_prefix to any folder, however deep.
"""

colours = [
    dict(
        type="RandomApply",
        prob=0.8,
        transforms=[
            dict(
                type="ColorJitter",
                brightness=0.4,
                contrast=0.4,
                saturation=0.2,
                hue=0.1,
                backend="pillow",
            )
        ],
    ),
    dict(type="RandomGrayscale", prob=0.2, keep_channels=True),
]
train_pipeline = [
    dict(type="LoadImage"),
    dict(
        type="RandomResizedCrop",
        scale=48,
        crop_ratio_range=(0.6, 1.0),
        backend="pillow",
        interpolation="bilinear",
    ),
    dict(type="RandomFlip", prob=0.5),
    dict(type="MultiView", num_views=2, transforms=[colours]),
    dict(type="PackInputs"),
]
train_dataloader = dict(
    batch_size=32,
    num_workers=2,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        type="CustomDataset",
        data_root="data/scenes/imagefolder",
        data_prefix="train",
        with_label=False,
        pipeline=train_pipeline,
    ),
)
