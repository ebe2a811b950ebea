r"""kNN with BootMAE's small ViT on CIFAR-10, 10,000 training pictures.

For trying things out. Not from the paper.
Run:
    python tools/test.py \
        configs/finetune/bootmae_vit-mini-p4_knn_1xb256_cifar10.py --pretrained CHECKPOINT
"""

_base_ = ["../_base_/small/knn_cifar10.py", "../_base_/methods/bootmae.py"]

__method = _base_.pop("method")

model = dict(data_preprocessor=__method.pixel_norm, backbone=__method.encoder)
