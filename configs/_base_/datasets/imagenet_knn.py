"""ImageNet-1K for kNN: the training images vote, in order and without augmentation."""

__test_pipeline = [
    dict(type="LoadImage"),
    dict(type="ResizeEdge", scale=256, edge="short", backend="pillow", interpolation="bicubic"),
    dict(type="CenterCrop", crop_size=224),
    dict(type="PackInputs"),
]

test_dataloader = dict(
    batch_size=256,
    num_workers=10,
    pin_memory=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        type="IndexedImages",
        data_root="data/imagenet",
        data_prefix="val",
        pipeline=__test_pipeline,
    ),
)
test_evaluator = dict(type="Accuracy", topk=(1, 5))
test_cfg = dict(
    type="KNNTestLoop",
    bank_dataloader=dict(
        batch_size=256,
        num_workers=10,
        pin_memory=True,
        sampler=dict(type="DefaultSampler", shuffle=False),
        collate_fn=dict(type="default_collate"),
        dataset=dict(
            type="IndexedImages",
            data_root="data/imagenet",
            data_prefix="train",
            pipeline=__test_pipeline,
        ),
    ),
)
