"""ImageNet-1K for ExtreMA's linear probe, 512 images per GPU: crop and flip; test 224/256."""

_base_ = ["./imagenet_classification.py", "../methods/extrema.py"]

__method = _base_.pop("method")
__test_pipeline = [
    dict(type="LoadImage"),
    dict(
        type="ResizeEdge",
        scale=256,
        edge="short",
        backend="pillow",
        interpolation=__method.interpolation,
    ),
    dict(type="CenterCrop", crop_size=224),
    dict(type="PackInputs"),
]

train_dataloader = dict(
    batch_size=512,
    dataset=dict(
        pipeline=[
            dict(type="LoadImage"),
            dict(type="NumpyToPIL", to_rgb=True),
            dict(
                type="torchvision/RandomResizedCrop",
                size=224,
                scale=(0.08, 1.0),
                interpolation=__method.interpolation,
            ),
            dict(type="torchvision/RandomHorizontalFlip", p=0.5),
            dict(type="PILToNumpy", to_bgr=True),
            dict(type="PackInputs"),
        ]
    ),
)
val_dataloader = dict(dataset=dict(pipeline=__test_pipeline))
test_dataloader = val_dataloader
