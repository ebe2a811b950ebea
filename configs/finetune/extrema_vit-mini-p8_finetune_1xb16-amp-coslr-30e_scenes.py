r"""Fine-tuning of ExtreMA's small ViT on drawn scenes.

For trying things out. Not from the paper.
Run:
    python tools/train.py \
        configs/finetune/extrema_vit-mini-p8_finetune_1xb16-amp-coslr-30e_scenes.py \
        --pretrained CHECKPOINT
"""

_base_ = ["../_base_/small/finetune_scenes.py", "../_base_/methods/extrema.py"]

__method = _base_.pop("method")

model = __method.finetune
