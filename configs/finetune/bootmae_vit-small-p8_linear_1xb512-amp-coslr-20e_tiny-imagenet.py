r"""Linear probe of BootMAE's ViT-S on Tiny-ImageNet, 25,000 training pictures.

For trying things out. Not from the paper.
Run:
    python tools/train.py \
        configs/finetune/bootmae_vit-small-p8_linear_1xb512-amp-coslr-20e_tiny-imagenet.py \
        --pretrained CHECKPOINT
Cut elsewhere: --cfg-options model.backbone.out_indices=[N], blocks counted from 0.
"""

_base_ = ["../_base_/small/linear_tiny_imagenet.py", "../_base_/methods/bootmae.py"]

__method = _base_.pop("method")

model = dict(data_preprocessor=__method.pixel_norm, backbone=__method.encoder)
