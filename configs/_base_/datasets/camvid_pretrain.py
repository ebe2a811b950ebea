"""CamVid's training images without labels: data/camvid/images/training/*."""

train_dataloader = dict(
    batch_size=32,
    num_workers=2,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        type="RepeatDataset",
        times=8,  # 367 pictures are less than twelve batches
        dataset=dict(
            type="IndexedImages",
            data_root="data/camvid",
            data_prefix="images/training",
            with_label=False,
        ),
    ),
)
