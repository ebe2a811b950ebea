"""ExtreMA, a ViT of 4 blocks and width 96, on drawn scenes of 48 x 48 in patches of 8.

For trying things out: minutes on two CPU cores. Not from the paper.
Run:
    python tools/make_scenes.py
    python tools/train.py configs/pretrain/extrema_vit-mini-p8_1xb32-amp-coslr-10e_scenes.py
Length: --cfg-options train_cfg.max_epochs=N
"""

_base_ = [
    "../_base_/models/extrema_vit-mini.py",
    "../_base_/datasets/scenes_pretrain_extrema.py",
    "../_base_/schedules/extrema_mini.py",
    "../_base_/runtime_mmpretrain.py",
]

model = dict(backbone=dict(img_size=48, patch_size=8))
auto_scale_lr = dict(base_batch_size=32)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
train_cfg = dict(max_epochs=10)

default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=-1))  # -1: the last alone
