"""CamVid's training images without labels for ExtreMA, 96 x 96 in 12 x 12 patches of 8."""

_base_ = ["./camvid_bs64_bootmae.py", "./view_colours.py"]

train_pipeline = [
    dict(type="LoadImage"),
    dict(
        type="RandomResizedCrop",
        scale=96,
        crop_ratio_range=(0.05, 0.5),
        backend="pillow",
        interpolation="bilinear",
    ),
    dict(type="RandomFlip", prob=0.5),
    dict(type="MultiView", num_views=2, transforms=[{{_base_.colours}}]),
    dict(type="PackInputs"),
]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
