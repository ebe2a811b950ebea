r"""kNN with ExtreMA's small ViT on drawn scenes: the mean of the student's patch tokens.

On pictures this small the patch tokens tell more than the class token does.
For trying things out. Not from the paper.
Run:
    python tools/test.py \
        configs/finetune/extrema_vit-mini-p8_knn_1xb128_scenes.py --pretrained CHECKPOINT
"""

_base_ = ["../_base_/small/knn_scenes.py", "../_base_/methods/extrema.py"]

__method = _base_.pop("method")

model = dict(data_preprocessor=__method.pixel_norm, backbone=__method.encoder)
