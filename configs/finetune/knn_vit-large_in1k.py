"""kNN on ImageNet-1K with BootMAE's ViT-L/16.

Expected: the paper has no figure.
Run:
    bash tools/dist_test.sh configs/finetune/knn_vit-large_in1k.py CHECKPOINT 8
Reproduced: no.
"""

_base_ = ["./knn_vit-base_in1k.py"]

model = dict(backbone=dict(arch="large"))
