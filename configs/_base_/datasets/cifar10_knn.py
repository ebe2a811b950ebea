"""CIFAR-10 for kNN, 32 x 32."""

__test_pipeline = [dict(type="LoadImage"), dict(type="PackInputs")]

test_dataloader = dict(
    batch_size=256,
    num_workers=2,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        type="IndexedImages",
        data_root="data/cifar10",
        data_prefix="val",
        pipeline=__test_pipeline,
    ),
)
test_evaluator = dict(type="Accuracy", topk=(1,))
test_cfg = dict(
    type="KNNTestLoop",
    bank_dataloader=dict(
        batch_size=256,
        num_workers=2,
        sampler=dict(type="DefaultSampler", shuffle=False),
        collate_fn=dict(type="default_collate"),
        dataset=dict(
            type="IndexedImages",
            data_root="data/cifar10",
            data_prefix="train",
            pipeline=__test_pipeline,
        ),
    ),
)
