"""UperNet with what BootMAE's authors add to the pretrained ViT-B/16: table, bias and scale."""

_base_ = ["./upernet_vit.py"]

model = dict(
    backbone=dict(pos_embed_trainable=True, rel_pos_bias=True, layer_scale_init=1.0),
)
