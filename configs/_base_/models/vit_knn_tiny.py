"""Nearest neighbours of the frozen small ViT's features."""

_base_ = ["./vit_knn.py"]

model = dict(backbone=dict(arch=dict(_delete_=True, embed_dims=96, num_layers=4, num_heads=3)))
