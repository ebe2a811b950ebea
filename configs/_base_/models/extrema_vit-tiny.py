"""ExtreMA with a ViT of 4 blocks and width 96, for small pictures of 36 to 144 patches."""

_base_ = ["./extrema_vit-base.py"]

model = dict(
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=96, num_layers=4, num_heads=3), drop_path_rate=0.0
    ),
    neck=dict(hidden_channels=256, out_channels=64),
    # In some thousand small steps BYOL's loss falls to almost nothing while features get no
    # better; to find the own key among those of the batch goes on teaching.
    head=dict(predictor=dict(hidden_channels=256), loss="infonce", temperature=0.2),
    # a short run needs a teacher that moves
    target_generator=dict(schedule=dict(start=0.99)),
)
