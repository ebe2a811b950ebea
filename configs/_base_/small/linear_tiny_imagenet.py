"""Linear probe of ViT-S on Tiny-ImageNet, 25,000 training pictures, for any method's weights."""

_base_ = [
    "../models/vit_linear_probe.py",
    "../datasets/tiny_imagenet_classification.py",
    "../schedules/linear_mini.py",
    "../runtime_mmpretrain.py",
]

model = dict(
    backbone=dict(arch="small", img_size=64, patch_size=8),
    head=dict(in_channels=384, num_classes=100),
)
auto_scale_lr = dict(base_batch_size=512)
train_cfg = dict(max_epochs=20)

default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=-1))  # -1: the last alone
