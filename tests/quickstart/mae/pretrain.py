"""MAE of mmpretrain's parts at the quickstart's scale."""

_base_ = [
    __import__("maskssl").config_file("pretrain/bootmae_vit-mini-p8_1xb32-amp-coslr-12e_scenes.py")
]

model = dict(
    _delete_=True,
    type="MAE",
    data_preprocessor=dict(
        type="SelfSupDataPreprocessor", mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True
    ),
    backbone=dict(
        type="MAEViT",
        arch=dict(embed_dims=96, num_layers=4, num_heads=3, feedforward_channels=384),
        img_size=48,
        patch_size=8,
        mask_ratio=0.5,
    ),
    neck=dict(
        type="MAEPretrainDecoder",
        num_patches=36,
        patch_size=8,
        embed_dim=96,
        decoder_embed_dim=48,
        decoder_depth=1,
        decoder_num_heads=3,
    ),
    head=dict(
        type="MAEPretrainHead",
        norm_pix=True,
        patch_size=8,
        loss=dict(type="PixelReconstructionLoss", criterion="L2"),
    ),
)
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="LoadImage"),
            dict(type="RandomResizedCrop", scale=48, crop_ratio_range=(0.6, 1.0)),
            dict(type="PackInputs"),
        ]
    )
)
custom_hooks = []
