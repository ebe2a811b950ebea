"""kNN with MAE's encoder."""

from maskssl import config_file

_base_ = [config_file("finetune/knn_vit-tiny_scenes.py")]

model = dict(backbone=dict(pos_embed_layout="mae"))
