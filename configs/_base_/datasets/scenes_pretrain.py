"""Drawn scenes of one object without labels: data/scenes/imagefolder/train/CLASS/*.png.

Written by tools/make_scenes.py; for images of one's own set train_dataloader.dataset.data_root
and data_prefix to any folder, however deep.
"""

train_dataloader = dict(
    batch_size=32,
    num_workers=2,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        type="IndexedImages",
        data_root="data/scenes/imagefolder",
        data_prefix="train",
        with_label=False,
    ),
)
