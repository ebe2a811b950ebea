r"""Linear probe of ExtreMA's small ViT on CIFAR-10: the momentum encoder's class token.

For trying things out. Not from the paper.
Run:
    python tools/train.py \
        configs/finetune/extrema_vit-mini-p4_linear_1xb128-amp-coslr-8e_cifar10.py \
        --pretrained CHECKPOINT
Other features: see extrema_vit-base-p16_linear_8xb512-amp-coslr-90e_in1k.py.
"""

_base_ = ["../_base_/small/linear_cifar10.py", "../_base_/methods/extrema.py"]

__method = _base_.pop("method")

model = __method.linear
optim_wrapper = dict(optimizer=__method.linear_optimizer)
