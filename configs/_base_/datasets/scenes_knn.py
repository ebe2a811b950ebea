"""Drawn scenes of one object for kNN, 48 x 48."""

__test_pipeline = [
    dict(type="LoadImage"),
    dict(type="Resize", scale=(48, 48), backend="pillow", interpolation="bicubic"),
    dict(type="PackInputs"),
]

test_dataloader = dict(
    batch_size=128,
    num_workers=2,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        type="IndexedImages",
        data_root="data/scenes/few",
        data_prefix="val",
        pipeline=__test_pipeline,
    ),
)
test_evaluator = dict(type="Accuracy", topk=(1,))
test_cfg = dict(
    type="KNNTestLoop",
    bank_dataloader=dict(
        batch_size=128,
        num_workers=2,
        sampler=dict(type="DefaultSampler", shuffle=False),
        collate_fn=dict(type="default_collate"),
        dataset=dict(
            type="IndexedImages",
            data_root="data/scenes/few",
            data_prefix="train",
            pipeline=__test_pipeline,
        ),
    ),
)
