"""kNN with ViT-S on Tiny-ImageNet, 25,000 training pictures, for the weights of any method."""

_base_ = [
    "../models/vit_knn.py",
    "../datasets/tiny_imagenet_knn.py",
    "../runtime_mmpretrain.py",
]

model = dict(backbone=dict(arch="small", img_size=64, patch_size=8))
