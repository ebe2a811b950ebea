r"""UperNet on BootMAE's small ViT, drawn scenes of 64 x 64, background and eight shapes.

For trying things out: a minute or two on two CPU cores. Not from the paper.
Run:
    python tools/train.py \
        configs/seg/bootmae_vit-mini-p8_upernet_1xb8-amp-400i_scenes.py --pretrained CHECKPOINT
Length: --cfg-options train_cfg.max_iters=N
"""

_base_ = ["../_base_/small/upernet_scenes.py", "../_base_/methods/bootmae.py"]

__method = _base_.pop("method")

model = dict(data_preprocessor=__method.pixel_norm, backbone=__method.encoder)
