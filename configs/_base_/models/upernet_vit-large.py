"""UperNet on a ViT-L/16 as CAE has it: blocks 7, 11, 15, 23, heads 1024 wide."""

_base_ = ["./upernet_vit.py"]

model = dict(
    backbone=dict(arch="large", out_indices=[7, 11, 15, 23], drop_path_rate=0.15),
    neck=dict(in_channels=1024),
    decode_head=dict(in_channels=[1024, 1024, 1024, 1024], channels=1024),
    auxiliary_head=dict(in_channels=1024),
)
