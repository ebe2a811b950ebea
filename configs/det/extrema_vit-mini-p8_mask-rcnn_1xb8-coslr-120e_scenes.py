r"""Mask R-CNN on ExtreMA's small ViT, drawn scenes.

For trying things out. Not from the paper.
Run:
    python tools/train.py \
        configs/det/extrema_vit-mini-p8_mask-rcnn_1xb8-coslr-120e_scenes.py --pretrained CHECKPOINT
"""

_base_ = ["../_base_/small/mask_rcnn_scenes.py", "../_base_/methods/extrema.py"]

__method = _base_.pop("method")

model = dict(data_preprocessor=__method.pixel_norm, backbone=__method.encoder)
