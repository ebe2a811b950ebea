r"""Linear probe of BootMAE's small ViT on CIFAR-10, 10,000 training pictures.

For trying things out. Not from the paper.
Run:
    python tools/train.py \
        configs/finetune/bootmae_vit-mini-p4_linear_1xb128-amp-coslr-8e_cifar10.py \
        --pretrained CHECKPOINT
Cut elsewhere: --cfg-options model.backbone.out_indices=[N], blocks counted from 0.
"""

_base_ = ["../_base_/small/linear_cifar10.py", "../_base_/methods/bootmae.py"]

__method = _base_.pop("method")

model = dict(data_preprocessor=__method.pixel_norm, backbone=__method.encoder)
