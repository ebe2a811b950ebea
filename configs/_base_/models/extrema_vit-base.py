"""ExtreMA with a ViT-B/16 at 224 x 224: no cls token in the patch encoder, 5 masks of 39 patches.

80 % x 5 shows 195 of 196 patches in all, 90 % x 8 shows 152.
"""

_base_ = ["../methods/extrema.py"]

__method = _base_.pop("method")

model = dict(
    type="ExtreMA",
    data_preprocessor=dict(type="PretrainDataPreprocessor", to_rgb=True, **__method.pixel_norm),
    backbone=dict(
        type="PlainViT",
        arch="base",
        img_size=224,
        patch_size=16,
        split_qkv_init=False,  # xavier over the fused q, k, v
        drop_path_rate=0.1,  # of the student; the teacher and the class attention have none
        class_attention=__method.class_token.class_attention,
        out_type="cls",
        final_norm=True,
        **__method.encoder,
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
