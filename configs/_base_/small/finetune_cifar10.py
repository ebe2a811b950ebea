"""Fine-tuning of the small ViT on CIFAR-10, 10,000 training pictures.

For the weights of any method.
"""

_base_ = [
    "../models/vit_classifier-mini.py",
    "../datasets/cifar10_classification.py",
    "../schedules/finetune_mini.py",
    "../runtime_mmpretrain.py",
]

model = dict(
    data_preprocessor=dict(num_classes=10),
    backbone=dict(img_size=32, patch_size=4),
    head=dict(num_classes=10),
)

auto_scale_lr = dict(base_batch_size=128)
train_cfg = dict(max_epochs=20)

default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=-1))  # -1: the last alone
