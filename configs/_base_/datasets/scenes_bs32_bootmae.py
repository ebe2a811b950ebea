"""Drawn scenes of one object without labels for BootMAE, 48 x 48 in 6 x 6 patches of 8.

data/scenes/imagefolder/train/CLASS/*.jpg (tools/make_scenes.py); for images of one's own
set train_dataloader.dataset.data_root and data_prefix to any folder, however deep.
"""

train_pipeline = [
    dict(type="LoadImage"),
    dict(
        type="RandomResizedCrop",
        scale=48,
        crop_ratio_range=(0.6, 1.0),
        backend="pillow",
        interpolation="bicubic",
    ),
    dict(type="RandomFlip", prob=0.5),
    # half of the patches in blocks; the authors' share, 22 of 36, learns later
    dict(type="BlockMask", grid=(6, 6), num_masks=18),
    dict(type="PackInputs", algorithm_keys=["mask"]),
]
train_dataloader = dict(
    batch_size=32,
    num_workers=2,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        type="CustomDataset",
        data_root="data/scenes/imagefolder",
        data_prefix="train",
        with_label=False,
        pipeline=train_pipeline,
    ),
)
