"""kNN on ImageNet-1K with BootMAE's ViT-B/16: 20 neighbours, temperature 0.07.

Paper: arXiv 2207.07116.
Expected: the paper has no figure.
Run:
    bash tools/dist_test.sh configs/finetune/bootmae_vit-base-p16_knn_8xb256_in1k.py CHECKPOINT 8
Cost: one forward of the training and validation images.
Reproduced: no.
"""

_base_ = [
    "../_base_/models/vit_knn.py",
    "../_base_/datasets/imagenet_knn.py",
    "../_base_/runtime_mmpretrain.py",
    "../_base_/methods/bootmae.py",
]

__method = _base_.pop("method")

model = dict(data_preprocessor=__method.pixel_norm, backbone=__method.encoder)
