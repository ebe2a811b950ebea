r"""ExtreMA, ViT-B/16, 300 epochs on ImageNet-1K, 8 masks of 90 %, colours per view.

Paper: arXiv 2206.04667. Expected (published): linear 68.4, fine-tune 83.5 top-1.
Run:
    bash tools/dist_train.sh \
        configs/pretrain/extrema_vit-base-p16_8xb256-amp-coslr-300e_in1k_90x8.py 8
Cost: 46 hours on 8 V100 (published).
Reproduced: no.
"""

_base_ = ["./extrema_vit-base-p16_8xb256-amp-coslr-300e_in1k.py"]

model = dict(mask_ratio=0.9, num_masks=8)
