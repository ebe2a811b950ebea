"""kNN on ImageNet-1K with ExtreMA's ViT-B/16: the momentum encoder's class token, normed.

Expected: the paper has no figure, so the choice of the feature is ours.
Run:
    bash tools/dist_test.sh configs/finetune/knn_extrema_vit-base_in1k.py CHECKPOINT 8
Reproduced: no.
"""

_base_ = ["./knn_vit-base_in1k.py", "../_base_/models/extrema_encoder.py"]

model = dict(data_preprocessor={{_base_.pixel_norm}}, backbone={{_base_.pooled_encoder}})
