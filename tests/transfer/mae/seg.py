"""UperNet on MAE's encoder."""

from maskssl import config_file

_base_ = [config_file("seg/bootmae_vit-mini-p8_upernet_1xb8-amp-200i_scenes.py")]

model = dict(backbone=dict(pos_embed_layout="mae"))
