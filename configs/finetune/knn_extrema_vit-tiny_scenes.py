"""kNN with ExtreMA's small ViT on drawn scenes: the momentum encoder's class token.

For trying things out. Not from the paper.
Run:
    python tools/test.py configs/finetune/knn_extrema_vit-tiny_scenes.py --pretrained CHECKPOINT
"""

_base_ = ["./knn_vit-tiny_scenes.py", "../_base_/models/extrema_encoder.py"]

model = dict(data_preprocessor={{_base_.pixel_norm}}, backbone={{_base_.pooled_encoder}})
