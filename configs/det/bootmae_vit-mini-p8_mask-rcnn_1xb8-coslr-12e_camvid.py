r"""Mask R-CNN on BootMAE's small ViT, CamVid's signs, cars, pedestrians and bicyclists.

For trying things out on real images. Not from the paper.
Run, with the data in data/camvid:
    python tools/train.py \
        configs/det/bootmae_vit-mini-p8_mask-rcnn_1xb8-coslr-12e_camvid.py --pretrained CHECKPOINT
"""

_base_ = ["../_base_/small/mask_rcnn_camvid.py", "../_base_/methods/bootmae.py"]

__method = _base_.pop("method")

model = dict(data_preprocessor=__method.pixel_norm, backbone=__method.encoder)
