"""Drawn scenes for BootMAE: 48 x 48 in 6 x 6 patches of 8."""

_base_ = ["./scenes_pretrain.py", "../methods/bootmae.py"]

__method = _base_.pop("method")
__pipeline = [
    dict(type="LoadImage"),
    dict(
        type="RandomResizedCrop",
        scale=48,
        # the whole picture, or the middle square of one's own: tiles stay in step with patches
        crop_ratio_range=(1.0, 1.0),
        aspect_ratio_range=(1.0, 1.0),
        backend="pillow",
        interpolation=__method.interpolation,
    ),
    dict(type="RandomFlip", prob=0.5),
    # half of the patches in blocks; the authors' share, 22 of 36, learns later
    dict(type="BlockMask", grid=(6, 6), num_masks=18),
    dict(type="PackInputs", algorithm_keys=["mask"]),
]
train_dataloader = dict(dataset=dict(pipeline=__pipeline))
