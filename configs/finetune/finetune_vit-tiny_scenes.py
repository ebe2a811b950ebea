"""Fine-tuning of the small ViT on drawn scenes, eight classes.

For trying things out. Not from the paper.
Run:
    python tools/train.py configs/finetune/finetune_vit-tiny_scenes.py --pretrained CHECKPOINT
From random weights: --pretrained none. Scores the averaged weights of the last epoch.
"""

_base_ = [
    "../_base_/models/vit_classifier_tiny.py",
    "../_base_/datasets/scenes_bs64_classification.py",
    "../_base_/schedules/finetune_tiny.py",
    "../_base_/runtime_mmpretrain.py",
]

model = dict(
    data_preprocessor=dict(num_classes=8),
    backbone=dict(img_size=48, patch_size=8),
    head=dict(num_classes=8),
)

default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=-1))  # -1: the last alone
