"""kNN with MAE's encoder."""

_base_ = [__import__("maskssl").config_file("finetune/bootmae_vit-mini-p8_knn_1xb128_scenes.py")]

model = dict(backbone=dict(pos_embed_layout="mae"))
