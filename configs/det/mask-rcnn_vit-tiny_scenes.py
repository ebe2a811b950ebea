"""Mask R-CNN on the small ViT, drawn scenes of 128 x 128, eight shapes.

For trying things out: a minute or two on two CPU cores. Not from the paper.
Run:
    python tools/train.py configs/det/mask-rcnn_vit-tiny_scenes.py --pretrained CHECKPOINT
Length: --cfg-options train_cfg.max_epochs=N
"""

_base_ = [
    "../_base_/models/mask_rcnn_vit_tiny.py",
    "../_base_/datasets/scenes_detection.py",
    "../_base_/schedules/mask_rcnn_tiny.py",
    "../_base_/runtime_mmdet.py",
]

model = dict(
    backbone=dict(img_size=128),
    roi_head=dict(bbox_head=dict(num_classes=8), mask_head=dict(num_classes=8)),
)

default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=-1))  # -1: the last alone
