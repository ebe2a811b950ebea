"""Mask R-CNN on ExtreMA's ViT-L/16, COCO, 12 epochs, by CAE's recipe for Large.

Expected: no figure is published; CAE-L 1600 has 54.5 box and 47.5 mask AP by this recipe.
Run, on each of two nodes with 8 GPUs (NNODES, NODE_RANK, MASTER_ADDR set):
    bash tools/dist_train.sh configs/det/mask-rcnn_extrema_vit-large_16xb2-1x_coco.py 8 \
        --pretrained CHECKPOINT
Reproduced: no.
"""

_base_ = ["./mask-rcnn_bootmae_vit-large_16xb2-1x_coco.py", "../_base_/models/extrema_encoder.py"]

model = dict(data_preprocessor={{_base_.pixel_norm}}, backbone={{_base_.patch_encoder}})
