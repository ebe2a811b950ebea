"""BootMAE with a ViT-B/16 at 224 x 224: 14 x 14 = 196 patches, 147 of them in the loss."""

model = dict(
    type="BootMAE",
    data_preprocessor=dict(
        type="SelfSupDataPreprocessor", mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True
    ),
    backbone=dict(
        type="PlainViT",
        arch="base",
        img_size=224,
        patch_size=16,
        with_cls_token=True,
        pos_embed_layout="bootmae",
        final_norm=True,
    ),
    # Heads are the encoder's: 12 at width 512 make heads of 42 and an inner width of 504.
    neck=dict(type="TargetAwareDecoders", pixel=dict(embed_dims=512), feature=dict(), num_layers=2),
    head=dict(type="BootMAEHead", feature_weight=1.0, weight_mask=True),
    # 0.999 -> 0.9999 over 100 epochs, then (dynamic) on to 0.99999 at epoch 400
    target_generator=dict(
        type="MomentumEncoder",
        schedule=dict(type="bootmae", start=0.999, end=0.9999, dynamic=True),
    ),
    mask_num=147,
)

custom_hooks = [
    dict(type="MomentumUpdateHook"),
    dict(type="FeatureWeightHook"),
    dict(type="ReconstructionHook", interval=20),
]
