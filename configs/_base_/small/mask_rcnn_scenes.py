"""Mask R-CNN on the small ViT, drawn scenes of 64 x 64, eight classes.

For the weights of any method, and for random ones. 20 pictures are labelled: with 400 of them
random weights came as far as pretrained ones (docs/measured.md).
Objects are 27 to 42 pixels wide: anchors of 16 to 90 pixels on strides of 4, 8 and 16. Boxes and
masks are not told apart by class, so every object teaches them, and boxes weigh 2, not 10.
"""

_base_ = [
    "../models/mask_rcnn_vit-mini.py",
    "../datasets/scenes_detection.py",
    "../schedules/mask_rcnn_mini.py",
    "../runtime_mmdet.py",
]

__norm_cfg = dict(type="SyncBN", requires_grad=True)
__strides = [4, 8, 16]

model = dict(
    backbone=dict(img_size=64, out_indices=[1, 2, 3]),
    neck=[
        dict(type="FeaturePyramid", in_channels=96, scales=(2, 1, 0.5), norm_cfg=__norm_cfg),
        dict(
            type="FPN",
            in_channels=[96, 96, 96],
            out_channels=48,
            num_outs=3,
            norm_cfg=__norm_cfg,
        ),
    ],
    rpn_head=dict(
        in_channels=48,
        feat_channels=48,
        anchor_generator=dict(scales=[4, 5.6], strides=__strides),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=48, featmap_strides=__strides),
        bbox_head=dict(
            in_channels=48,
            conv_out_channels=48,
            num_classes=8,
            reg_class_agnostic=True,
            loss_bbox=dict(loss_weight=2.0),
        ),
        mask_roi_extractor=dict(out_channels=48, featmap_strides=__strides),
        mask_head=dict(in_channels=48, conv_out_channels=48, num_classes=8, class_agnostic=True),
    ),
    test_cfg=dict(rcnn=dict(max_per_img=10)),
)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type="SGD", lr=0.1, momentum=0.9, weight_decay=5e-4),
    paramwise_cfg=dict(layer_decay_rate=1.0, backbone_lr_mult=0.3),
    clip_grad=dict(max_norm=3, norm_type=2),
)
train_cfg = dict(max_epochs=120)  # over 20 pictures, three steps each time

default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=-1))  # -1: the last alone
