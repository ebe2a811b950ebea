r"""UperNet on BootMAE's small ViT, CamVid's 11 classes: crops of 192, a sliding window in tests.

For trying things out on real images. Not from the paper.
Run, with the data in data/camvid:
    python tools/train.py \
        configs/seg/bootmae_vit-mini-p8_upernet_1xb8-amp-1k_camvid.py --pretrained CHECKPOINT
"""

_base_ = ["../_base_/small/upernet_camvid.py", "../_base_/methods/bootmae.py"]

__method = _base_.pop("method")

model = dict(data_preprocessor=__method.pixel_norm, backbone=__method.encoder)
