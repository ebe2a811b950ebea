"""ImageNet-1K for fine-tuning, 256 images per GPU: RandAugment, random erasing; test 224/256.

The authors also pass colour jitter 0.4, which timm drops under RandAugment.
"""

train_pipeline = [
    dict(type="LoadImage"),
    dict(
        type="RandomResizedCrop",
        scale=224,
        crop_ratio_range=(0.08, 1.0),
        backend="pillow",
        interpolation="bicubic",
    ),
    dict(type="RandomFlip", prob=0.5, direction="horizontal"),
    # timm's rand-m9-mstd0.5-inc1
    dict(
        type="RandAugment",
        policies="timm_increasing",
        num_policies=2,
        total_level=10,
        magnitude_level=9,
        magnitude_std=0.5,
        hparams=dict(pad_val=[128, 128, 128], interpolation="bicubic"),
    ),
    # Before normalisation, so the noise is cut to 0..255; timm's comes after and is not.
    dict(
        type="RandomErasing",
        erase_prob=0.25,
        mode="rand",
        min_area_ratio=0.02,
        max_area_ratio=1 / 3,
        fill_color=[127.5] * 3,
        fill_std=[127.5] * 3,
    ),
    dict(type="PackInputs"),
]
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="ResizeEdge", scale=256, edge="short", backend="pillow", interpolation="bicubic"),
    dict(type="CenterCrop", crop_size=224),
    dict(type="PackInputs"),
]

train_dataloader = dict(
    batch_size=256,
    num_workers=10,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        type="CustomDataset",
        data_root="data/imagenet",
        data_prefix="train",
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=10,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        type="CustomDataset",
        data_root="data/imagenet",
        data_prefix="val",
        pipeline=test_pipeline,
    ),
)
val_evaluator = dict(type="Accuracy", topk=(1, 5))
test_dataloader = val_dataloader
test_evaluator = val_evaluator
