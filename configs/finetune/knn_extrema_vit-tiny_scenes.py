"""kNN with ExtreMA's small ViT on drawn scenes: the mean of the student's patch tokens.

On pictures this small the patch tokens tell more than the class token does.
Run:
    python tools/test.py configs/finetune/knn_extrema_vit-tiny_scenes.py --pretrained CHECKPOINT
"""

_base_ = ["./knn_vit-tiny_scenes.py", "../_base_/models/extrema_encoder.py"]

model = dict(data_preprocessor={{_base_.pixel_norm}}, backbone={{_base_.patch_encoder}})
