"""UperNet on the small ViT with patch 8."""

_base_ = ["./upernet_vit.py"]

model = dict(
    backbone=dict(
        arch="mini",
        patch_size=8,
        out_indices=[0, 1, 2, 3],
        drop_path_rate=0.05,
    ),
    neck=dict(in_channels=96),
    decode_head=dict(in_channels=[96, 96, 96, 96], channels=32),
    auxiliary_head=dict(in_channels=96, channels=32),
)
