"""Drawn scenes for BootMAE: crops of 48 x 48 in 6 x 6 patches of 8."""

_base_ = ["./scenes_pretrain.py", "../methods/bootmae.py"]

__method = _base_.pop("method")
__pipeline = [
    dict(type="LoadImage"),
    dict(type="RandomCrop", crop_size=48),  # no other scale: patterns keep to the patches
    dict(type="RandomFlip", prob=0.5),
    # half of the patches in blocks; the authors' share, 22 of 36, learns later
    dict(type="BlockMask", grid=(6, 6), num_masks=18),
    dict(type="PackInputs", algorithm_keys=["mask"]),
]
train_dataloader = dict(dataset=dict(pipeline=__pipeline))
