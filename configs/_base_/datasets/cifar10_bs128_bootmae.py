"""CIFAR-10 without labels for BootMAE, 32 x 32 in 8 x 8 patches of 4.

data/cifar10/{train,val}/CLASS/*.jpg.
"""

train_pipeline = [
    dict(type="LoadImage"),
    dict(
        type="RandomResizedCrop",
        scale=32,
        crop_ratio_range=(0.2, 1.0),
        backend="pillow",
        interpolation="bicubic",
    ),
    dict(type="RandomFlip", prob=0.5),
    # counts scale with the grid: 39 of 64 patches in blocks of 5 to 20
    dict(type="BlockMask", grid=(8, 8)),
    dict(type="PackInputs", algorithm_keys=["mask"]),
]
train_dataloader = dict(
    batch_size=128,
    num_workers=2,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        type="CustomDataset",
        data_root="data/cifar10",
        data_prefix="train",
        with_label=False,
        pipeline=train_pipeline,
    ),
)
