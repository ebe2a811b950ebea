"""UperNet on ExtreMA's ViT-L/16, ADE20K at 512 x 512, by CAE's recipe for Large.

Expected: no figure is published; CAE-L 1600 reaches 54.9 mIoU by this recipe.
Run:
    bash tools/dist_train.sh \
        configs/seg/upernet_extrema_vit-large_8xb2-160k_ade20k-512x512.py 8 \
        --pretrained CHECKPOINT
Reproduced: no.
"""

_base_ = ["./upernet_extrema_vit-base_8xb2-160k_ade20k-512x512.py"]

model = dict(
    backbone=dict(arch="large", out_indices=[7, 11, 15, 23], drop_path_rate=0.15),
    neck=dict(in_channels=1024),
    decode_head=dict(in_channels=[1024, 1024, 1024, 1024], channels=1024),
    auxiliary_head=dict(in_channels=1024),
)
optim_wrapper = dict(optimizer=dict(lr=4e-5), paramwise_cfg=dict(layer_decay_rate=0.95))
