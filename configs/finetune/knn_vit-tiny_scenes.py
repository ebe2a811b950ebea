"""kNN with the small ViT on drawn scenes, eight classes.

Run:
    python tools/test.py configs/finetune/knn_vit-tiny_scenes.py --pretrained CHECKPOINT
"""

_base_ = [
    "../_base_/models/vit_knn_tiny.py",
    "../_base_/datasets/scenes_knn.py",
    "../_base_/runtime_mmpretrain.py",
]

model = dict(backbone=dict(img_size=48, patch_size=8))
