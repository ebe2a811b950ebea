"""What ExtreMA's weights ask of a downstream model: no cls token, MAE's table, ImageNet's norm.

A leaf adds this file to its bases and writes
``model = dict(data_preprocessor={{_base_.pixel_norm}}, backbone={{_base_.patch_encoder}})``.
"""

pixel_norm = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])

# dense transfer: patches alone, the table stays fixed
patch_encoder = dict(with_cls_token=False, pos_embed_layout="mae")
# fine-tuning learns the table
finetuned_encoder = dict(
    with_cls_token=False, pos_embed_layout="mae", pos_embed_trainable=True, drop_path_rate=0.2
)
# linear probe and kNN read the momentum encoder's class token, from behind the last block
pooled_encoder = dict(
    with_cls_token=False,
    pos_embed_layout="mae",
    class_attention=dict(num_layers=2, layer_scale_init=0.1),
    out_type="cls",
    out_indices=None,
    init_cfg=dict(branch="teacher"),
)
