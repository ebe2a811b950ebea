"""UperNet on MAE's encoder."""

_base_ = [
    __import__("maskssl").config_file("seg/bootmae_vit-mini-p8_upernet_1xb8-amp-400i_scenes.py")
]

model = dict(backbone=dict(pos_embed_layout="mae"))
