"""ExtreMA, a ViT of 4 blocks and width 96, on CIFAR-10, 32 x 32 in patches of 4.

For trying things out on real images. Not from the paper.
Run, with the pictures in data/cifar10/{train,val}/CLASS:
    python tools/train.py configs/pretrain/extrema_vit-mini-p4_1xb64-amp-coslr-8e_cifar10.py
"""

_base_ = [
    "../_base_/models/extrema_vit-mini.py",
    "../_base_/datasets/cifar10_pretrain_extrema.py",
    "../_base_/schedules/extrema_mini.py",
    "../_base_/runtime_mmpretrain.py",
]

model = dict(backbone=dict(img_size=32, patch_size=4))

train_dataloader = dict(batch_size=64)
auto_scale_lr = dict(base_batch_size=64)
train_cfg = dict(max_epochs=8)

default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=-1))  # -1: the last alone
