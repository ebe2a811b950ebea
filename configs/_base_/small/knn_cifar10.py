"""kNN with the small ViT on CIFAR-10, 10,000 training pictures, for the weights of any method."""

_base_ = [
    "../models/vit_knn-mini.py",
    "../datasets/cifar10_knn.py",
    "../runtime_mmpretrain.py",
]

model = dict(backbone=dict(img_size=32, patch_size=4))
