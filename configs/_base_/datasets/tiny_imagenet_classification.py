"""Tiny-ImageNet with labels, 64 x 64: shifted crops, the whole picture in tests."""

_base_ = ["./cifar10_classification.py"]

__train_pipeline = [
    dict(type="LoadImage"),
    dict(type="RandomCrop", crop_size=64, padding=8),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackInputs"),
]
__loader = dict(num_workers=14, dataset=dict(data_root="data/tiny_imagenet"))
train_dataloader = dict(
    batch_size=512,
    num_workers=14,
    dataset=dict(data_root="data/tiny_imagenet", pipeline=__train_pipeline),
)
val_dataloader = __loader
val_evaluator = dict(topk=(1, 5))
test_dataloader = __loader
test_evaluator = dict(topk=(1, 5))
