"""CIFAR-10 without labels for ExtreMA, 32 x 32 in 8 x 8 patches of 4."""

_base_ = ["./cifar10_bs128_bootmae.py", "./view_colours.py"]

train_pipeline = [
    dict(type="LoadImage"),
    dict(
        type="RandomResizedCrop",
        scale=32,
        crop_ratio_range=(0.2, 1.0),
        backend="pillow",
        interpolation="bilinear",
    ),
    dict(type="RandomFlip", prob=0.5),
    dict(type="MultiView", num_views=2, transforms=[{{_base_.colours}}]),
    dict(type="PackInputs"),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
