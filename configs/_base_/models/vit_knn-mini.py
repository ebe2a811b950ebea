"""Nearest neighbours of the frozen small ViT's features."""

_base_ = ["./vit_knn.py"]

model = dict(backbone=dict(arch="mini"))
