"""kNN on ImageNet-1K with BootMAE's ViT-B/16: 20 neighbours, temperature 0.07.

Expected: the paper has no figure.
Run:
    bash tools/dist_test.sh configs/finetune/knn_vit-base_in1k.py CHECKPOINT 8
Cost: one forward of the training and validation images.
Reproduced: no.
"""

_base_ = [
    "../_base_/models/vit_knn.py",
    "../_base_/datasets/imagenet_knn.py",
    "../_base_/runtime_mmpretrain.py",
]
