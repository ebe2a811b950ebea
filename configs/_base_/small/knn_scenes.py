"""kNN with the small ViT on drawn scenes, eight classes, for the weights of any method."""

_base_ = [
    "../models/vit_knn-mini.py",
    "../datasets/scenes_knn.py",
    "../runtime_mmpretrain.py",
]

model = dict(backbone=dict(img_size=48, patch_size=8))
