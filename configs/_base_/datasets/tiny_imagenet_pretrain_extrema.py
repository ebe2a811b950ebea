"""Tiny-ImageNet for ExtreMA: 64 x 64 in 8 x 8 patches of 8."""

_base_ = ["./tiny_imagenet_pretrain.py", "../methods/extrema.py"]

__method = _base_.pop("method")
__pipeline = [
    dict(type="LoadImage"),
    dict(
        type="RandomResizedCrop",
        scale=64,
        crop_ratio_range=(0.2, 1.0),
        backend="pillow",
        interpolation=__method.interpolation,
    ),
    dict(type="RandomFlip", prob=0.5),
    dict(type="NumpyToPIL", to_rgb=True),
    dict(
        type="MultiView",
        num_views=2,
        transforms=[[*__method.colours, dict(type="PILToNumpy", to_bgr=True)]],
    ),
    dict(type="PackInputs"),
]
train_dataloader = dict(dataset=dict(pipeline=__pipeline))
