"""Drawn scenes for ExtreMA: 48 x 48 in 6 x 6 patches of 8."""

_base_ = ["./scenes_pretrain.py", "../methods/extrema.py"]

__method = _base_.pop("method")
# Any hue at any brightness: pictures of few flat colours are told apart by these alone, and
# with the published strengths kNN on their shapes stayed at the level of random weights.
__colours = [
    dict(type="torchvision/ColorJitter", brightness=0.8, contrast=0.8, saturation=0.8, hue=0.5),
    dict(type="torchvision/RandomGrayscale", p=0.4),
]
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
    dict(type="NumpyToPIL", to_rgb=True),
    dict(
        type="MultiView",
        num_views=2,
        transforms=[[*__colours, dict(type="PILToNumpy", to_bgr=True)]],
    ),
    dict(type="PackInputs"),
]
# colours of a whole batch at once, the same to the digit: a tenth of a step on two CPU cores
train_dataloader = dict(dataset=dict(pipeline=__pipeline, augment_on_device=True))
