"""Drawn scenes of one object without labels for ExtreMA, 48 x 48 in 6 x 6 patches of 8."""

_base_ = ["./scenes_bs32_bootmae.py", "./view_colours.py"]

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
    dict(type="MultiView", num_views=2, transforms=[{{_base_.strong_colours}}]),
    dict(type="PackInputs"),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
