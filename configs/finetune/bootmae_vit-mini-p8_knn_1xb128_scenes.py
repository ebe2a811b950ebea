r"""kNN with BootMAE's small ViT on drawn scenes, eight classes.

For trying things out. Not from the paper.
Run:
    python tools/test.py \
        configs/finetune/bootmae_vit-mini-p8_knn_1xb128_scenes.py --pretrained CHECKPOINT
"""

_base_ = ["../_base_/small/knn_scenes.py", "../_base_/methods/bootmae.py"]

__method = _base_.pop("method")

model = dict(data_preprocessor=__method.pixel_norm, backbone=__method.encoder)
