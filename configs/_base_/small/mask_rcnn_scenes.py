"""Mask R-CNN on the small ViT, drawn scenes of 64 x 64, eight shapes.

For the weights of any method.
"""

_base_ = [
    "../models/mask_rcnn_vit-mini.py",
    "../datasets/scenes_detection.py",
    "../schedules/mask_rcnn_mini.py",
    "../runtime_mmdet.py",
]

model = dict(
    backbone=dict(img_size=64),
    roi_head=dict(bbox_head=dict(num_classes=8), mask_head=dict(num_classes=8)),
)

default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=-1))  # -1: the last alone
