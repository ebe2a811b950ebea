"""Mask R-CNN on the small ViT with patch 8, with few proposals.

Patch 8 over 4, 2, 1, 0.5 makes strides of 2..16 and, times 8, anchors of 16..128 pixels.
"""

_base_ = ["./mask_rcnn_vit.py"]

__norm_cfg = dict(type="SyncBN", requires_grad=True)
# objects of 16..32 pixels go to the finest level
__roi_levels = dict(out_channels=32, featmap_strides=[2, 4, 8, 16], finest_scale=16)

model = dict(
    data_preprocessor=dict(pad_size_divisor=16),
    backbone=dict(
        arch="mini",
        patch_size=8,
        out_indices=[0, 1, 2, 3],
        drop_path_rate=0.05,
    ),
    neck=[
        dict(type="FeaturePyramid", in_channels=96, scales=(4, 2, 1, 0.5), norm_cfg=__norm_cfg),
        dict(type="FPN", in_channels=[96, 96, 96, 96], out_channels=32, num_outs=4),
    ],
    rpn_head=dict(in_channels=32, feat_channels=32, anchor_generator=dict(strides=[2, 4, 8, 16])),
    roi_head=dict(
        bbox_roi_extractor=__roi_levels,
        bbox_head=dict(
            num_shared_convs=1, in_channels=32, conv_out_channels=32, fc_out_channels=96
        ),
        mask_roi_extractor=__roi_levels,
        mask_head=dict(num_convs=2, in_channels=32, conv_out_channels=32),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=48)),
        rpn_proposal=dict(nms_pre=200, max_per_img=100),
        rcnn=dict(sampler=dict(num=48)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=100, max_per_img=50), rcnn=dict(max_per_img=30)),
)
