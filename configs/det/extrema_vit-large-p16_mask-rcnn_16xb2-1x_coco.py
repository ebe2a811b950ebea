r"""Mask R-CNN on ExtreMA's ViT-L/16, COCO, 12 epochs, by CAE's recipe for Large.

Paper: arXiv 2206.04667.
Expected: no figure is published; CAE-L 1600 has 54.5 box and 47.5 mask AP by this recipe.
Run, on each of two nodes with 8 GPUs (NNODES, NODE_RANK, MASTER_ADDR set):
    bash tools/dist_train.sh configs/det/extrema_vit-large-p16_mask-rcnn_16xb2-1x_coco.py 8 \
        --pretrained CHECKPOINT
Cost: unpublished.
Reproduced: no.
"""

_base_ = [
    "../_base_/models/mask_rcnn_vit-large.py",
    "../_base_/datasets/coco_multiscale.py",
    "../_base_/schedules/mask_rcnn_adamw_1x.py",
    "../_base_/runtime_mmdet.py",
    "../_base_/methods/extrema.py",
]

__method = _base_.pop("method")

model = dict(data_preprocessor=__method.pixel_norm, backbone=__method.encoder)
optim_wrapper = dict(optimizer=dict(lr=2e-4), paramwise_cfg=dict(layer_decay_rate=0.85))
