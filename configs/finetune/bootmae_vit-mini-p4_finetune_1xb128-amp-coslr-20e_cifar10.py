r"""Fine-tuning of BootMAE's small ViT on CIFAR-10, 10,000 training pictures.

For trying things out. Not from the paper.
Run:
    python tools/train.py \
        configs/finetune/bootmae_vit-mini-p4_finetune_1xb128-amp-coslr-20e_cifar10.py \
        --pretrained CHECKPOINT
From random weights: --pretrained none. Scores the averaged weights of the last epoch.
"""

_base_ = ["../_base_/small/finetune_cifar10.py", "../_base_/methods/bootmae.py"]

__method = _base_.pop("method")

model = dict(data_preprocessor=__method.pixel_norm, backbone=__method.encoder)
