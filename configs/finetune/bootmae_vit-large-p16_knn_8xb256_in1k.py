"""kNN on ImageNet-1K with BootMAE's ViT-L/16.

Paper: arXiv 2207.07116.
Expected: the paper has no figure.
Run:
    bash tools/dist_test.sh configs/finetune/bootmae_vit-large-p16_knn_8xb256_in1k.py CHECKPOINT 8
Cost: unpublished.
Reproduced: no.
"""

_base_ = ["./bootmae_vit-base-p16_knn_8xb256_in1k.py"]

model = dict(backbone=dict(arch="large"))
