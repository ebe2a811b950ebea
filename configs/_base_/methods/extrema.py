"""What ExtreMA's weights ask of every stage, from pretraining to detection: told once.

A file that lists this one takes the entry out again, as it is none of a finished config:
``__method = _base_.pop("method")``.
"""

method = dict(
    # ImageNet's
    pixel_norm=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
    encoder=dict(with_cls_token=False, pos_embed_layout="mae"),
    # linear probe and kNN read the momentum encoder's class token, from behind the last block
    class_token=dict(
        class_attention=dict(num_layers=2, layer_scale_init=0.1),
        out_type="cls",
        out_indices=None,
        init_cfg=dict(branch="teacher"),
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
