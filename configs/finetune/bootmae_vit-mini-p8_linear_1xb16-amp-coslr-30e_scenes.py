r"""Linear probe of BootMAE's small ViT on drawn scenes, eight classes.

For trying things out. Not from the paper.
Run:
    python tools/train.py \
        configs/finetune/bootmae_vit-mini-p8_linear_1xb16-amp-coslr-30e_scenes.py \
        --pretrained CHECKPOINT
Cut elsewhere: --cfg-options model.backbone.out_indices=[N], blocks counted from 0.
"""

_base_ = ["../_base_/small/linear_scenes.py", "../_base_/methods/bootmae.py"]

__method = _base_.pop("method")

model = dict(data_preprocessor=__method.pixel_norm, backbone=__method.encoder)
