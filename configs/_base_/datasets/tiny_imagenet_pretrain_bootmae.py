"""Tiny-ImageNet for BootMAE: 64 x 64 in 8 x 8 patches of 8."""

_base_ = ["./tiny_imagenet_pretrain.py", "../methods/bootmae.py"]

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
    # counts scale with the grid: 39 of 64 patches in blocks of 5 to 20
    dict(type="BlockMask", grid=(8, 8)),
    dict(type="PackInputs", algorithm_keys=["mask"]),
]
train_dataloader = dict(dataset=dict(pipeline=__pipeline))
