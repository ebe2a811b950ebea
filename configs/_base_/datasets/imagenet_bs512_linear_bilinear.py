"""ImageNet-1K for ExtreMA's linear probe, 512 images per GPU, bilinear; test 224/256."""

_base_ = ["./imagenet_bs256_finetune.py"]

train_pipeline = [
    dict(type="LoadImage"),
    dict(
        type="RandomResizedCrop",
        scale=224,
        crop_ratio_range=(0.08, 1.0),
        backend="pillow",
        interpolation="bilinear",
    ),
    dict(type="RandomFlip", prob=0.5, direction="horizontal"),
    dict(type="PackInputs"),
]
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="ResizeEdge", scale=256, edge="short", backend="pillow", interpolation="bilinear"),
    dict(type="CenterCrop", crop_size=224),
    dict(type="PackInputs"),
]
train_dataloader = dict(batch_size=512, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
