"""Fine-tuning of the small ViT on CIFAR-10, 10,000 training pictures.

For trying things out. Not from the paper.
Run:
    python tools/train.py configs/finetune/finetune_vit-tiny_cifar10.py --pretrained CHECKPOINT
From random weights: --pretrained none. Scores the averaged weights of the last epoch.
"""

_base_ = [
    "../_base_/models/vit_classifier_tiny.py",
    "../_base_/datasets/cifar10_bs128_classification.py",
    "../_base_/schedules/finetune_tiny.py",
    "../_base_/runtime_mmpretrain.py",
]

model = dict(
    data_preprocessor=dict(num_classes=10),
    backbone=dict(img_size=32, patch_size=4),
    head=dict(num_classes=10),
)

auto_scale_lr = dict(base_batch_size=128)
train_cfg = dict(max_epochs=20)

default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=-1))  # -1: the last alone
