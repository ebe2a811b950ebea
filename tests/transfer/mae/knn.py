"""kNN with MAE's encoder."""

from maskssl import config_file

_base_ = [config_file("finetune/bootmae_vit-mini-p8_knn_1xb128_scenes.py")]

model = dict(backbone=dict(pos_embed_layout="mae"))
