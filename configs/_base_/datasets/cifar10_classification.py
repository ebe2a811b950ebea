"""CIFAR-10 with labels, 32 x 32: shifted crops, the whole picture in tests.

The authors' fine-tuning code, too, pads by 4 and crops where images are this small.
"""

__train_pipeline = [
    dict(type="LoadImage"),
    dict(type="RandomCrop", crop_size=32, padding=4),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackInputs"),
]
__test_pipeline = [dict(type="LoadImage"), dict(type="PackInputs")]

train_dataloader = dict(
    batch_size=128,
    num_workers=2,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        type="IndexedImages",
        data_root="data/cifar10",
        data_prefix="train",
        pipeline=__train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        type="IndexedImages",
        data_root="data/cifar10",
        data_prefix="val",
        pipeline=__test_pipeline,
    ),
)
val_evaluator = dict(type="Accuracy", topk=(1,))
test_dataloader = val_dataloader
test_evaluator = val_evaluator
