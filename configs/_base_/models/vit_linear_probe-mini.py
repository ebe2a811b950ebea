"""A linear layer on the frozen small ViT, cut after 3 of 4 blocks."""

_base_ = ["./vit_linear_probe.py"]

model = dict(
    backbone=dict(
        arch="mini",
        out_indices=[2],
        frozen_stages=4,
    ),
    head=dict(in_channels=96, topk=(1,)),
)
