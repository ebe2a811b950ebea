"""Linear probe of the small ViT on CIFAR-10, 10,000 training pictures.

For the weights of any method.
"""

_base_ = [
    "../models/vit_linear_probe-mini.py",
    "../datasets/cifar10_classification.py",
    "../schedules/linear_mini.py",
    "../runtime_mmpretrain.py",
]

model = dict(backbone=dict(img_size=32, patch_size=4), head=dict(num_classes=10))

auto_scale_lr = dict(base_batch_size=128)
train_cfg = dict(max_epochs=8)

default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=-1))  # -1: the last alone
