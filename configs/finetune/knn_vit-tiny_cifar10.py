"""kNN with the small ViT on CIFAR-10, 10,000 training pictures.

Run:
    python tools/test.py configs/finetune/knn_vit-tiny_cifar10.py --pretrained CHECKPOINT
"""

_base_ = [
    "../_base_/models/vit_knn_tiny.py",
    "../_base_/datasets/cifar10_knn.py",
    "../_base_/runtime_mmpretrain.py",
]

model = dict(backbone=dict(img_size=32, patch_size=4))
