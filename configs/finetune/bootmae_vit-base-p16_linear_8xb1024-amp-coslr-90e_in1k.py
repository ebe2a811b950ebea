r"""Linear probe of BootMAE's ViT-B/16 on ImageNet-1K, cut after 10 of 12 blocks.

Paper: arXiv 2207.07116. Expected (published): 66.1 top-1 after 800 epochs of pretraining.
Run:
    bash tools/dist_train.sh \
        configs/finetune/bootmae_vit-base-p16_linear_8xb1024-amp-coslr-90e_in1k.py 8 \
        --pretrained CHECKPOINT
Cost: unpublished.
Reproduced: no.

The authors' README cuts after 9 blocks, their script after 10, which stands here; for 9:
--cfg-options model.backbone.out_indices=[8]. Scores the last epoch, the authors the best.
"""

_base_ = [
    "../_base_/models/vit_linear_probe.py",
    "../_base_/datasets/imagenet_linear_bootmae.py",
    "../_base_/schedules/linear_lars_90e.py",
    "../_base_/runtime_mmpretrain.py",
    "../_base_/methods/bootmae.py",
]

__method = _base_.pop("method")

model = dict(data_preprocessor=__method.pixel_norm, backbone=__method.encoder)

default_hooks = dict(checkpoint=dict(interval=10))
