"""Crops of CamVid for ExtreMA: 96 x 96 in 12 x 12 patches of 8."""

_base_ = ["./camvid_pretrain.py", "../methods/extrema.py"]

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
    dict(type="NumpyToPIL", to_rgb=True),
    dict(
        type="MultiView",
        num_views=2,
        transforms=[[*__method.colours, dict(type="PILToNumpy", to_bgr=True)]],
    ),
    dict(type="PackInputs"),
]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=__pipeline)))
