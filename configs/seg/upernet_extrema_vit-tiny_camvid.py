"""UperNet on ExtreMA's small ViT, CamVid.

For trying things out. Not from the paper.
Run:
    python tools/train.py configs/seg/upernet_extrema_vit-tiny_camvid.py --pretrained CHECKPOINT
"""

_base_ = ["./upernet_vit-tiny_camvid.py", "../_base_/models/extrema_encoder.py"]

model = dict(data_preprocessor={{_base_.pixel_norm}}, backbone={{_base_.patch_encoder}})
