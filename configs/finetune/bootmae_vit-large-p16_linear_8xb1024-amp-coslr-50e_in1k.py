r"""Linear probe of BootMAE's ViT-L/16 on ImageNet-1K, cut after 18 of 24 blocks.

Paper: arXiv 2207.07116. Expected (published): 77.1 top-1 after 800 epochs of pretraining.
Run:
    bash tools/dist_train.sh \
        configs/finetune/bootmae_vit-large-p16_linear_8xb1024-amp-coslr-50e_in1k.py 8 \
        --pretrained CHECKPOINT
Cost: unpublished.
Reproduced: no.
"""

_base_ = ["./bootmae_vit-base-p16_linear_8xb1024-amp-coslr-90e_in1k.py"]

model = dict(
    backbone=dict(arch="large", out_indices=[17], frozen_stages=24),
    head=dict(in_channels=1024),
)
# 8 GPUs x 1024 x 2 = 16384 images a step: 0.07 x 16384 / 256 = 4.48
optim_wrapper = dict(optimizer=dict(lr=0.07 * 16384 / 256))
train_cfg = dict(max_epochs=50)
