"""BootMAE with a ViT-B/16 at 224 x 224: 14 x 14 = 196 patches, 147 of them in the loss."""

_base_ = ["../methods/bootmae.py"]

__method = _base_.pop("method")

model = dict(
    type="BootMAE",
    data_preprocessor=dict(type="PretrainDataPreprocessor", to_rgb=True, **__method.pixel_norm),
    backbone=dict(
        type="PlainViT",
        arch="base",
        img_size=224,
        patch_size=16,
        final_norm=True,
        **__method.encoder,
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
    # fea_list of the authors: the first block for the pixels, the last one for the features
    shallow_index=0,
    deep_index=-1,
)

custom_hooks = [
    dict(type="MomentumUpdateHook"),
    dict(type="FeatureWeightHook"),
    dict(type="ReconstructionHook", interval=20),
]
