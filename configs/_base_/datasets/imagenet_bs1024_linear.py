"""ImageNet-1K for the linear probe, 1024 images per GPU: crop and flip alone; test 224/256."""

_base_ = ["./imagenet_bs256_finetune.py"]

train_pipeline = [
    dict(type="LoadImage"),
    dict(
        type="MAEResizedCrop",  # draws once, as MAE does
        scale=224,
        crop_ratio_range=(0.08, 1.0),
        backend="pillow",
        interpolation="bicubic",
    ),
    dict(type="RandomFlip", prob=0.5, direction="horizontal"),
    dict(type="PackInputs"),
]
train_dataloader = dict(batch_size=1024, dataset=dict(pipeline=train_pipeline))
