"""kNN with ExtreMA's small ViT on CIFAR-10: the mean of the student's patch tokens.

For trying things out. Not from the paper.
Run:
    python tools/test.py configs/finetune/knn_extrema_vit-tiny_cifar10.py --pretrained CHECKPOINT
"""

_base_ = ["./knn_vit-tiny_cifar10.py", "../_base_/models/extrema_encoder.py"]

model = dict(data_preprocessor={{_base_.pixel_norm}}, backbone={{_base_.patch_encoder}})
