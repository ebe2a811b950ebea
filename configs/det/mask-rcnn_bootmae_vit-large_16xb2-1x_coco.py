"""Mask R-CNN on BootMAE's ViT-L/16, COCO, 12 epochs, by CAE's recipe for Large.

Expected: the paper has no figure for Large. By this recipe MAE-L 1600 has 54.0 box and
    47.1 mask AP, CAE-L 1600 has 54.5 and 47.5.
Run, on each of two nodes with 8 GPUs (NNODES, NODE_RANK, MASTER_ADDR set):
    bash tools/dist_train.sh configs/det/mask-rcnn_bootmae_vit-large_16xb2-1x_coco.py 8 \
        --pretrained CHECKPOINT
Reproduced: no.
"""

_base_ = ["./mask-rcnn_bootmae_vit-base_16xb2-1x_coco.py"]

norm_cfg = dict(type="SyncBN", requires_grad=True)
model = dict(
    backbone=dict(arch="large", out_indices=[7, 11, 15, 23]),
    neck=[
        dict(type="FeaturePyramid", in_channels=1024, scales=(4, 2, 1, 0.5), norm_cfg=norm_cfg),
        dict(type="FPN", in_channels=[1024, 1024, 1024, 1024], out_channels=256, num_outs=5),
    ],
)
optim_wrapper = dict(optimizer=dict(lr=2e-4), paramwise_cfg=dict(layer_decay_rate=0.85))
