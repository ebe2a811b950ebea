r"""Mask R-CNN on BootMAE's small ViT, drawn scenes of 64 x 64, eight shapes.

For trying things out: a minute or two on two CPU cores. Not from the paper.
Run:
    python tools/train.py \
        configs/det/bootmae_vit-mini-p8_mask-rcnn_1xb8-coslr-120e_scenes.py --pretrained CHECKPOINT
Length: --cfg-options train_cfg.max_epochs=N
"""

_base_ = ["../_base_/small/mask_rcnn_scenes.py", "../_base_/methods/bootmae.py"]

__method = _base_.pop("method")

model = dict(data_preprocessor=__method.pixel_norm, backbone=__method.encoder)
