"""CamVid's training images without labels for BootMAE, 96 x 96 in 12 x 12 patches of 8."""

train_pipeline = [
    dict(type="LoadImage"),
    dict(
        type="RandomResizedCrop",
        scale=96,
        crop_ratio_range=(0.05, 0.5),
        backend="pillow",
        interpolation="bicubic",
    ),
    dict(type="RandomFlip", prob=0.5),
    # counts scale with the grid: 88 of 144 patches in blocks of 12 to 44
    dict(type="BlockMask", grid=(12, 12)),
    dict(type="PackInputs", algorithm_keys=["mask"]),
]
train_dataloader = dict(
    batch_size=64,
    num_workers=2,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        type="RepeatDataset",
        times=8,  # 367 pictures are less than six batches
        dataset=dict(
            type="CustomDataset",
            data_root="data/camvid",
            data_prefix="images/training",
            with_label=False,
            pipeline=train_pipeline,
        ),
    ),
)
