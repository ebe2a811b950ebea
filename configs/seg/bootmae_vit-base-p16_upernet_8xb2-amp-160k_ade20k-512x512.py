r"""UperNet on BootMAE's ViT-B/16, ADE20K at 512 x 512, 160k iterations.

Paper: arXiv 2207.07116. Expected (published): 49.12 mIoU, 60.0 mAcc, 83.75 aAcc at one
    scale; 50.0, 60.68, 84.12 with scales and flip. The authors reach this with a learnt
    position table, relative position bias and layer scale: see the _released config.
Run:
    bash tools/dist_train.sh \
        configs/seg/bootmae_vit-base-p16_upernet_8xb2-amp-160k_ade20k-512x512.py 8 \
        --pretrained CHECKPOINT
Cost: unpublished.
Reproduced: no.
"""

_base_ = [
    "../_base_/models/upernet_vit.py",
    "../_base_/datasets/ade20k_512x512.py",
    "../_base_/schedules/upernet_adamw_160k.py",
    "../_base_/runtime_mmseg.py",
    "../_base_/methods/bootmae.py",
]

__method = _base_.pop("method")

model = dict(data_preprocessor=__method.pixel_norm, backbone=__method.encoder)
