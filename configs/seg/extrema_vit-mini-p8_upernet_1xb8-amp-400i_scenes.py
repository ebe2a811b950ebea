r"""UperNet on ExtreMA's small ViT, drawn scenes.

For trying things out. Not from the paper.
Run:
    python tools/train.py \
        configs/seg/extrema_vit-mini-p8_upernet_1xb8-amp-400i_scenes.py --pretrained CHECKPOINT
"""

_base_ = ["../_base_/small/upernet_scenes.py", "../_base_/methods/extrema.py"]

__method = _base_.pop("method")

model = dict(data_preprocessor=__method.pixel_norm, backbone=__method.encoder)
