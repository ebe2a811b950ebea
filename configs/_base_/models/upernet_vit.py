"""UperNet on a ViT-B/16 at 512 x 512: blocks 3, 5, 7, 11 -> pyramid -> UPerHead 768, FCN 0.4.

No layer scale and no relative position bias: the blocks were pretrained without them.
The authors' released UperNet has both, see upernet_vit_released.py.
"""

__norm_cfg = dict(type="SyncBN", requires_grad=True)

model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(512, 512),
        test_cfg=dict(size=(512, 512)),  # a side below the window is padded, no other
    ),
    backbone=dict(
        type="mmpretrain.PlainViT",
        arch="base",
        img_size=512,  # the pretrained 14 x 14 position table is resized to 32 x 32
        patch_size=16,
        drop_path_rate=0.1,
        out_type="featmap",
        out_indices=[3, 5, 7, 11],
        final_norm=False,
        init_cfg=dict(type="Pretrained", checkpoint=None, branch="student"),
    ),
    neck=dict(type="FeaturePyramid", in_channels=768, scales=(4, 2, 1, 0.5), norm_cfg=__norm_cfg),
    decode_head=dict(
        type="UPerHead",
        in_channels=[768, 768, 768, 768],
        in_index=[0, 1, 2, 3],
        pool_scales=(1, 2, 3, 6),
        channels=768,
        dropout_ratio=0.1,
        num_classes=150,
        norm_cfg=__norm_cfg,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
    auxiliary_head=dict(
        type="FCNHead",
        in_channels=768,
        in_index=2,
        channels=256,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.1,
        num_classes=150,
        norm_cfg=__norm_cfg,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=0.4),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="slide", crop_size=(512, 512), stride=(341, 341)),
)
