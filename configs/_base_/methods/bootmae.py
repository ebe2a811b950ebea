"""What BootMAE's weights ask of every stage, from pretraining to detection: told once.

A file that lists this one takes the entry out again, as it is none of a finished config:
``__method = _base_.pop("method")``.
"""

method = dict(
    # Inception's mean and std of 0.5 (--imagenet_default_mean_and_std is off in every script)
    pixel_norm=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]),
    encoder=dict(with_cls_token=True, pos_embed_layout="bootmae"),
    interpolation="bicubic",
)
