"""ExtreMA, ViT-L/16, 300 epochs on ImageNet-1K.

Paper: arXiv 2206.04667. Expected: no figure is published for Large.
Run:
    bash tools/dist_train.sh configs/pretrain/extrema_vit-large-p16_8xb256-amp-coslr-300e_in1k.py 8
Cost: unpublished.
Reproduced: no.
"""

_base_ = ["./extrema_vit-base-p16_8xb256-amp-coslr-300e_in1k.py"]

# the class attention's layer scale starts lower for Large (main.py: 0.1 for base, 1e-5 for large)
model = dict(backbone=dict(arch="large", class_attention=dict(layer_scale_init=1e-5)))
