"""ImageNet-1K without labels for BootMAE, 256 images per GPU: data/imagenet/train/CLASS/*.

Bicubic by Pillow, which smooths when it shrinks; cv2 does not.
"""

train_pipeline = [
    dict(type="LoadImage"),
    dict(
        type="RandomResizedCrop",
        scale=224,
        crop_ratio_range=(0.2, 1.0),
        backend="pillow",
        interpolation="bicubic",
    ),
    dict(type="RandomFlip", prob=0.5),
    # 120 of 196 patches in blocks of 16 to 60
    dict(type="BlockMask", grid=(14, 14), num_masks=120, min_area=16, max_area=60),
    dict(type="PackInputs", algorithm_keys=["mask"]),
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
        with_label=False,
        pipeline=train_pipeline,
    ),
)
