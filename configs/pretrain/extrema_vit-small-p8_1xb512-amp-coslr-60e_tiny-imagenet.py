r"""ExtreMA, ViT-S, on Tiny-ImageNet, 25,000 photographs of 64 x 64 in patches of 8.

For minutes on one GPU. Not from the paper.
Run, with the pictures in data/tiny_imagenet/{train,val}/CLASS:
    python tools/train.py \
        configs/pretrain/extrema_vit-small-p8_1xb512-amp-coslr-60e_tiny-imagenet.py
"""

_base_ = [
    "../_base_/models/extrema_vit-base.py",
    "../_base_/datasets/tiny_imagenet_pretrain_extrema.py",
    "../_base_/schedules/extrema_mini.py",
    "../_base_/runtime_mmpretrain.py",
]

model = dict(
    backbone=dict(arch="small", img_size=64, patch_size=8, drop_path_rate=0.0),
    neck=dict(hidden_channels=1024),
    head=dict(predictor=dict(hidden_channels=1024), loss="infonce", temperature=0.2),
    # a short run needs a teacher that moves
    target_generator=dict(schedule=dict(start=0.99)),
)
auto_scale_lr = dict(base_batch_size=512)
train_cfg = dict(max_epochs=60)

default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=-1))  # -1: the last alone
