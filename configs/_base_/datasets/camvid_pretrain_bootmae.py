"""Crops of CamVid for BootMAE: 96 x 96 in 12 x 12 patches of 8."""

_base_ = ["./camvid_pretrain.py", "../methods/bootmae.py"]

__method = _base_.pop("method")
__pipeline = [
    dict(type="LoadImage"),
    dict(
        type="RandomResizedCrop",
        scale=96,
        crop_ratio_range=(0.05, 0.5),
        backend="pillow",
        interpolation=__method.interpolation,
    ),
    dict(type="RandomFlip", prob=0.5),
    # counts scale with the grid: 88 of 144 patches in blocks of 12 to 44
    dict(type="BlockMask", grid=(12, 12)),
    dict(type="PackInputs", algorithm_keys=["mask"]),
]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=__pipeline)))
