"""ExtreMA, ViT-S/16, 300 epochs on ImageNet-1K.

Paper: arXiv 2206.04667. Expected: no figure is published for Small.
Run:
    bash tools/dist_train.sh configs/pretrain/extrema_vit-small-p16_8xb256-amp-coslr-300e_in1k.py 8
Cost: unpublished.
Reproduced: no.
"""

_base_ = ["./extrema_vit-base-p16_8xb256-amp-coslr-300e_in1k.py"]

model = dict(backbone=dict(arch="small"))
