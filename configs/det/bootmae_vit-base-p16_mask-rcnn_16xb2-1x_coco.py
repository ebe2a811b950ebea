r"""Mask R-CNN on BootMAE's ViT-B/16, COCO, 12 epochs, by CAE's recipe.

Paper: arXiv 2207.07116.
Expected: the abstract claims +1.3 box AP and +1.4 mask AP over MAE at Base; no detection
    code was released. By this recipe MAE-B 1600 has 48.4 box and 42.6 mask AP, CAE-B 800
    has 49.9 and 43.9.
Run, on each of two nodes with 8 GPUs (NNODES, NODE_RANK, MASTER_ADDR set):
    bash tools/dist_train.sh configs/det/bootmae_vit-base-p16_mask-rcnn_16xb2-1x_coco.py 8 \
        --pretrained CHECKPOINT
Cost: unpublished.
Reproduced: no.

CAE's own layer scale belongs to its pretraining and is left out.
"""

_base_ = [
    "../_base_/models/mask_rcnn_vit.py",
    "../_base_/datasets/coco_multiscale.py",
    "../_base_/schedules/mask_rcnn_adamw_1x.py",
    "../_base_/runtime_mmdet.py",
    "../_base_/methods/bootmae.py",
]

__method = _base_.pop("method")

model = dict(data_preprocessor=__method.pixel_norm, backbone=__method.encoder)
