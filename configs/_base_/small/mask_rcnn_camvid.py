"""Mask R-CNN on the small ViT, CamVid's signs, cars, pedestrians and bicyclists.

For the weights of any method.
"""

_base_ = [
    "../models/mask_rcnn_vit-mini.py",
    "../datasets/camvid_detection.py",
    "../schedules/mask_rcnn_mini.py",
    "../runtime_mmdet.py",
]

model = dict(
    backbone=dict(img_size=(192, 256)),
    roi_head=dict(bbox_head=dict(num_classes=4), mask_head=dict(num_classes=4)),
    # street scenes hold more objects than drawn ones
    train_cfg=dict(
        rpn=dict(sampler=dict(num=128)),
        rpn_proposal=dict(nms_pre=1000, max_per_img=400),
        rcnn=dict(sampler=dict(num=128)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=1000, max_per_img=300), rcnn=dict(max_per_img=100)),
)

train_cfg = dict(max_epochs=12)

default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=-1))  # -1: the last alone
