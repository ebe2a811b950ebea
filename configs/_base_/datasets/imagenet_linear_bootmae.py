"""ImageNet-1K for BootMAE's linear probe, 1024 images per GPU: crop and flip; test 224/256."""

_base_ = ["./imagenet_classification.py", "../methods/bootmae.py"]

__method = _base_.pop("method")

train_dataloader = dict(
    batch_size=1024,
    dataset=dict(
        pipeline=[
            dict(type="LoadImage"),
            dict(
                type="MAEResizedCrop",  # draws once, as MAE does
                scale=224,
                crop_ratio_range=(0.08, 1.0),
                backend="pillow",
                interpolation=__method.interpolation,
            ),
            dict(type="RandomFlip", prob=0.5, direction="horizontal"),
            dict(type="PackInputs"),
        ]
    ),
)
