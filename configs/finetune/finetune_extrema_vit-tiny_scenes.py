r"""Fine-tuning of ExtreMA's small ViT on drawn scenes.

For trying things out. Not from the paper.
Run:
    python tools/train.py \
        configs/finetune/finetune_extrema_vit-tiny_scenes.py --pretrained CHECKPOINT
"""

_base_ = ["./finetune_vit-tiny_scenes.py", "../_base_/models/extrema_encoder.py"]

model = dict(data_preprocessor={{_base_.pixel_norm}}, backbone={{_base_.finetuned_encoder}})
