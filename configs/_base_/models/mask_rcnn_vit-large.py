"""Mask R-CNN on a ViT-L/16 as CAE has it: blocks 7, 11, 15, 23."""

_base_ = ["./mask_rcnn_vit.py"]

__norm_cfg = dict(type="SyncBN", requires_grad=True)

model = dict(
    backbone=dict(arch="large", out_indices=[7, 11, 15, 23]),
    neck=[
        dict(type="FeaturePyramid", in_channels=1024, scales=(4, 2, 1, 0.5), norm_cfg=__norm_cfg),
        dict(type="FPN", in_channels=[1024, 1024, 1024, 1024], out_channels=256, num_outs=5),
    ],
)
