"""BootMAE with a ViT of 4 blocks and width 96, for small pictures of 64 patches or so."""

_base_ = ["./bootmae_vit-base.py"]

model = dict(
    backbone=dict(arch="mini"),
    neck=dict(num_layers=1, pixel=dict(embed_dims=48)),
    # pixels lead: within some thousand small steps the teacher has little to tell
    head=dict(feature_weight=0.1),
    # a short run needs a teacher that moves: 0.99 -> 0.999 over 10 epochs
    target_generator=dict(schedule=dict(start=0.99, end=0.999, ramp_epochs=10, dynamic=False)),
    mask_num=None,  # 3/4 of the patches on any grid, as 147 of 196
)
