"""Tiny-ImageNet for kNN, 64 x 64."""

_base_ = ["./cifar10_knn.py"]

__loader = dict(num_workers=14, dataset=dict(data_root="data/tiny_imagenet"))
test_dataloader = __loader
test_evaluator = dict(topk=(1, 5))
test_cfg = dict(bank_dataloader=__loader)
