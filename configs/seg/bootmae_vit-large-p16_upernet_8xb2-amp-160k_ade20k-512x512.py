r"""UperNet on BootMAE's ViT-L/16, ADE20K at 512 x 512, by CAE's recipe for Large.

Paper: arXiv 2207.07116.
Expected: the paper has no figure for Large. CAE's Large reaches 54.9 mIoU by this recipe
    after 1600 epochs of its own pretraining.
Run:
    bash tools/dist_train.sh \
        configs/seg/bootmae_vit-large-p16_upernet_8xb2-amp-160k_ade20k-512x512.py 8 \
        --pretrained CHECKPOINT
Cost: unpublished.
Reproduced: no.

BootMAE's normalisation and clipping stay, the rest is CAE's.
"""

_base_ = [
    "../_base_/models/upernet_vit-large.py",
    "../_base_/datasets/ade20k_512x512.py",
    "../_base_/schedules/upernet_adamw_160k.py",
    "../_base_/runtime_mmseg.py",
    "../_base_/methods/bootmae.py",
]

__method = _base_.pop("method")

model = dict(data_preprocessor=__method.pixel_norm, backbone=__method.encoder)
optim_wrapper = dict(optimizer=dict(lr=4e-5), paramwise_cfg=dict(layer_decay_rate=0.95))
