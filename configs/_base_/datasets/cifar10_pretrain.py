"""CIFAR-10 without labels: data/cifar10/{train,val}/CLASS/*.jpg."""

train_dataloader = dict(
    batch_size=32,
    num_workers=2,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        type="IndexedImages", data_root="data/cifar10", data_prefix="train", with_label=False
    ),
)
