"""ImageNet-1K without labels, 256 images per GPU: data/imagenet/train/CLASS/*."""

train_dataloader = dict(
    batch_size=256,
    num_workers=10,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        type="IndexedImages", data_root="data/imagenet", data_prefix="train", with_label=False
    ),
)
