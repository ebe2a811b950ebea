"""Linear probe of the small ViT on CIFAR-10, 10,000 training pictures.

For trying things out. Not from the paper.
Run:
    python tools/train.py configs/finetune/linear_vit-tiny_cifar10.py --pretrained CHECKPOINT
Cut elsewhere: --cfg-options model.backbone.out_indices=[N], blocks counted from 0.
"""

_base_ = [
    "../_base_/models/vit_linear_probe_tiny.py",
    "../_base_/datasets/cifar10_bs128_classification.py",
    "../_base_/schedules/linear_tiny.py",
    "../_base_/runtime_mmpretrain.py",
]

model = dict(backbone=dict(img_size=32, patch_size=4), head=dict(num_classes=10))

auto_scale_lr = dict(base_batch_size=128)
train_cfg = dict(max_epochs=8)

default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=-1))  # -1: the last alone
