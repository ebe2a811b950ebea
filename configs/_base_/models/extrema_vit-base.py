"""ExtreMA with a ViT-B/16 at 224 x 224: no cls token in the patch encoder, 5 masks of 39 patches.

80 % x 5 shows 195 of 196 patches in all, 90 % x 8 shows 152.
"""

model = dict(
    type="ExtreMA",
    data_preprocessor=dict(
        type="SelfSupDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
    ),
    backbone=dict(
        type="PlainViT",
        arch="base",
        img_size=224,
        patch_size=16,
        with_cls_token=False,
        pos_embed_layout="mae",
        split_qkv_init=False,  # xavier over the fused q, k, v
        drop_path_rate=0.1,  # of the student; the teacher and the class attention have none
        class_attention=dict(num_layers=2, layer_scale_init=0.1),
        out_type="cls",
        final_norm=True,
    ),
    neck=dict(type="ProjectionMLP", num_layers=3, hidden_channels=4096, out_channels=256),
    head=dict(
        type="ExtreMAHead",
        predictor=dict(type="ProjectionMLP", num_layers=2, hidden_channels=4096),
        loss="byol",  # or 'infonce'
        temperature=1.0,
    ),
    # 0.996 -> 1 along a cosine, step by step
    target_generator=dict(type="MomentumProjector", schedule=dict(type="cosine", start=0.996)),
    mask_ratio=0.8,
    num_masks=5,
    disjoint=True,
)

custom_hooks = [dict(type="MomentumUpdateHook"), dict(type="CollapseHook")]
