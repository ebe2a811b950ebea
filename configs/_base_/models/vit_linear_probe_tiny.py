"""A linear layer on the frozen small ViT, cut after 3 of 4 blocks."""

_base_ = ["./vit_linear_probe.py"]

model = dict(
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=96, num_layers=4, num_heads=3),
        out_indices=[2],
        frozen_stages=4,
    ),
    head=dict(in_channels=96, topk=(1,)),
)
