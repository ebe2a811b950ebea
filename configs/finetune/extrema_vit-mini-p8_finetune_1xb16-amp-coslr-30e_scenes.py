r"""Fine-tuning of ExtreMA's small ViT on drawn scenes.

For trying things out. Not from the paper.
Run:
    python tools/train.py \
        configs/finetune/extrema_vit-mini-p8_finetune_1xb16-amp-coslr-30e_scenes.py \
        --pretrained CHECKPOINT
"""

_base_ = ["../_base_/small/finetune_scenes.py", "../_base_/methods/extrema.py"]

__method = _base_.pop("method")

model = dict(
    data_preprocessor=__method.pixel_norm,
    # the position table is learnt
    backbone=dict(**__method.encoder, pos_embed_trainable=True, drop_path_rate=0.2),
)
