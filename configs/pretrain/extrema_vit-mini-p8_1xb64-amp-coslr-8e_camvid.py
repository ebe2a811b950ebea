"""ExtreMA, a ViT of 4 blocks and width 96, on crops of CamVid, 96 x 96 in patches of 8.

For trying things out on real images. Not from the paper.
Run, with the pictures in data/camvid/images/training:
    python tools/train.py configs/pretrain/extrema_vit-mini-p8_1xb64-amp-coslr-8e_camvid.py
"""

_base_ = [
    "../_base_/models/extrema_vit-mini.py",
    "../_base_/datasets/camvid_pretrain_extrema.py",
    "../_base_/schedules/extrema_mini.py",
    "../_base_/runtime_mmpretrain.py",
]

model = dict(backbone=dict(img_size=96, patch_size=8))

train_dataloader = dict(batch_size=64)
auto_scale_lr = dict(base_batch_size=64)
train_cfg = dict(max_epochs=8)

default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=-1))  # -1: the last alone
