"""BootMAE, ViT-B/16, 800 epochs on ImageNet-1K.

Paper: Bootstrapped Masked Autoencoders for Vision BERT Pretraining (ECCV 2022),
    arXiv 2207.07116.
Expected (published): linear 66.1, fine-tune 84.2 top-1; ADE20K 49.12 mIoU.
Run, on each of two nodes with 8 GPUs (NNODES, NODE_RANK, MASTER_ADDR set):
    bash tools/dist_train.sh configs/pretrain/bootmae_vit-base-p16_16xb256-amp-coslr-800e_in1k.py 8
Cost: 16 V100-32GB in the paper; hours unpublished.
Reproduced: no.

801 epochs as in the authors' script; their results use the weights after epoch 800,
epoch_800.pth. A shorter run: --cfg-options train_cfg.max_epochs=300.
"""

_base_ = [
    "../_base_/models/bootmae_vit-base.py",
    "../_base_/datasets/imagenet_pretrain_bootmae.py",
    "../_base_/schedules/bootmae_adamw_800e.py",
    "../_base_/runtime_mmpretrain.py",
]

default_hooks = dict(checkpoint=dict(interval=20))
