"""ExtreMA, ViT-B/16, 300 epochs on ImageNet-1K, 5 masks of 20 %, without colour augmentation.

Paper: arXiv 2206.04667. Expected (published): linear 67.1, fine-tune 82.9 top-1.
Run:
    bash tools/dist_train.sh \
        configs/pretrain/extrema_vit-base_8xb256-amp-coslr-300e_in1k_no-colour.py 8
Cost: 50 hours on 8 V100 (published).
Reproduced: no.
"""

_base_ = ["./extrema_vit-base_8xb256-amp-coslr-300e_in1k.py"]

train_dataloader = dict(dataset=dict(pipeline={{_base_.plain_pipeline}}))
