"""Linear probe of the small ViT on drawn scenes, eight classes.

For trying things out. Not from the paper.
Run:
    python tools/train.py configs/finetune/linear_vit-tiny_scenes.py --pretrained CHECKPOINT
Cut elsewhere: --cfg-options model.backbone.out_indices=[N], blocks counted from 0.
"""

_base_ = [
    "../_base_/models/vit_linear_probe_tiny.py",
    "../_base_/datasets/scenes_bs64_classification.py",
    "../_base_/schedules/linear_tiny.py",
    "../_base_/runtime_mmpretrain.py",
]

model = dict(backbone=dict(img_size=48, patch_size=8), head=dict(num_classes=8))

default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=-1))  # -1: the last alone
