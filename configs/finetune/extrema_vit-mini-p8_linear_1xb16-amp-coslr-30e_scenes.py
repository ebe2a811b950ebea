r"""Linear probe of ExtreMA's small ViT on drawn scenes: the momentum encoder's class token.

For trying things out. Not from the paper.
Run:
    python tools/train.py \
        configs/finetune/extrema_vit-mini-p8_linear_1xb16-amp-coslr-30e_scenes.py \
        --pretrained CHECKPOINT
Other features: see extrema_vit-base-p16_linear_8xb512-amp-coslr-90e_in1k.py.
"""

_base_ = ["../_base_/small/linear_scenes.py", "../_base_/methods/extrema.py"]

__method = _base_.pop("method")

model = __method.linear
optim_wrapper = dict(optimizer=__method.linear_optimizer)
