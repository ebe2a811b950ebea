"""ExtreMA, ViT-B/16, 300 epochs on ImageNet-1K, 5 masks of 80 %, colours per view.

Paper: Extreme Masking for Learning Instance and Distributed Visual Representations,
    arXiv 2206.04667.
Expected (published): linear 73.3, fine-tune 83.7 top-1.
Run:
    bash tools/dist_train.sh configs/pretrain/extrema_vit-base-p16_8xb256-amp-coslr-300e_in1k.py 8
Cost: 50 hours on 8 V100 (published).
Reproduced: no.
"""

_base_ = [
    "../_base_/models/extrema_vit-base.py",
    "../_base_/datasets/imagenet_pretrain_extrema.py",
    "../_base_/schedules/extrema_adamw_300e.py",
    "../_base_/runtime_mmpretrain.py",
]

default_hooks = dict(checkpoint=dict(interval=5))
