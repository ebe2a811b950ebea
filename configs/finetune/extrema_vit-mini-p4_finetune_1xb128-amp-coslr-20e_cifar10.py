r"""Fine-tuning of ExtreMA's small ViT on CIFAR-10.

For trying things out. Not from the paper.
Run:
    python tools/train.py \
        configs/finetune/extrema_vit-mini-p4_finetune_1xb128-amp-coslr-20e_cifar10.py \
        --pretrained CHECKPOINT
"""

_base_ = ["../_base_/small/finetune_cifar10.py", "../_base_/methods/extrema.py"]

__method = _base_.pop("method")

model = __method.finetune
