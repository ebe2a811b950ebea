r"""Fine-tuning of BootMAE's ViT-B/16 on ImageNet-1K.

Paper: arXiv 2207.07116. Expected (published): 84.2 top-1 after 800 epochs of pretraining.
Run:
    bash tools/dist_train.sh \
        configs/finetune/bootmae_vit-base-p16_finetune_8xb256-amp-coslr-100e_in1k.py 8 \
        --pretrained CHECKPOINT
Cost: unpublished.
Reproduced: no.

Scores the averaged weights, after the last epoch; the authors report the best epoch of
either the plain or the averaged ones.
"""

_base_ = [
    "../_base_/models/vit_classifier.py",
    "../_base_/datasets/imagenet_finetune_bootmae.py",
    "../_base_/schedules/finetune_adamw_100e.py",
    "../_base_/runtime_mmpretrain.py",
    "../_base_/methods/bootmae.py",
]

__method = _base_.pop("method")

model = dict(data_preprocessor=__method.pixel_norm, backbone=__method.encoder)

default_hooks = dict(checkpoint=dict(interval=5))
