r"""kNN with BootMAE's ViT-S on Tiny-ImageNet, 25,000 training pictures.

For trying things out. Not from the paper.
Run:
    python tools/test.py \
        configs/finetune/bootmae_vit-small-p8_knn_1xb256_tiny-imagenet.py --pretrained CHECKPOINT
"""

_base_ = ["../_base_/small/knn_tiny_imagenet.py", "../_base_/methods/bootmae.py"]

__method = _base_.pop("method")

model = dict(data_preprocessor=__method.pixel_norm, backbone=__method.encoder)
