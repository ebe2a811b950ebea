"""What ExtreMA's weights ask of every stage, from pretraining to detection: told once.

A file that lists this one takes the entry out again, as it is none of a finished config:
``__method = _base_.pop("method")``.
"""

# ImageNet's
__pixel_norm = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
__encoder = dict(with_cls_token=False, pos_embed_layout="mae")
# linear probe and kNN read the momentum encoder's class token, from behind the last block
__class_token = dict(
    class_attention=dict(num_layers=2, layer_scale_init=0.1),
    out_type="cls",
    out_indices=None,
    init_cfg=dict(branch="teacher"),
)

method = dict(
    pixel_norm=__pixel_norm,
    encoder=__encoder,
    class_token=__class_token,
    linear=dict(
        data_preprocessor=__pixel_norm,
        backbone=dict(**__encoder, **__class_token),
        head=dict(norms=[dict(type="SyncBN", eps=1e-5, affine=False)]),
    ),
    # by which the small probes are trained; that of ImageNet has a schedule of its own
    linear_optimizer=dict(_delete_=True, type="SGD", lr=0.1, momentum=0.9, weight_decay=0.0),
    # the student, without its class attention; the position table is learnt
    finetune=dict(
        data_preprocessor=__pixel_norm,
        backbone=dict(**__encoder, pos_embed_trainable=True, drop_path_rate=0.2),
    ),
    # torchvision's default, in pretraining, probe and kNN; only fine-tuning is bicubic
    interpolation="bilinear",
    # of a view; the strengths are the published ones
    colours=[
        dict(
            type="RandomApply",
            prob=0.8,
            transforms=[
                dict(
                    type="torchvision/ColorJitter",
                    brightness=0.4,
                    contrast=0.4,
                    saturation=0.2,
                    hue=0.1,
                )
            ],
        ),
        # luma of 0.299 R, 0.587 G and 0.114 B, rounded as Pillow does; mmcv's truncates
        dict(type="torchvision/RandomGrayscale", p=0.2),
    ],
)
