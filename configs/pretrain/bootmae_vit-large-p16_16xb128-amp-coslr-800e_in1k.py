"""BootMAE, ViT-L/16, 800 epochs on ImageNet-1K.

Paper: Bootstrapped Masked Autoencoders for Vision BERT Pretraining (ECCV 2022),
    arXiv 2207.07116.
Expected (published): linear 77.1, fine-tune 85.9 top-1.
Run, on each of two nodes with 8 GPUs (NNODES, NODE_RANK, MASTER_ADDR set):
    bash tools/dist_train.sh configs/pretrain/bootmae_vit-large-p16_16xb128-amp-coslr-800e_in1k.py 8
Cost: unpublished. The script says 128 images per GPU but not how many GPUs; 16 as for
    Base. With another number of GPUs add --auto-scale-lr, the authors' rule.
Reproduced: no.
"""

_base_ = ["./bootmae_vit-base-p16_16xb256-amp-coslr-800e_in1k.py"]

model = dict(
    backbone=dict(arch="large"),
    target_generator=dict(schedule=dict(dynamic=False)),  # stays at 0.9999
)
train_dataloader = dict(batch_size=128)

# 16 GPUs x 128 = 2048 images a step: 1.5e-4 x 2048 / 256 = 1.2e-3
optim_wrapper = dict(optimizer=dict(lr=1.5e-4 * 2048 / 256))
auto_scale_lr = dict(base_batch_size=2048)
param_scheduler = [
    dict(
        type="LinearLR",
        start_factor=1e-6,
        by_epoch=True,
        begin=0,
        end=40,
        convert_to_iter_based=True,
    ),
    dict(
        type="CosineAnnealingLR",
        eta_min=1e-5,  # Base has 1e-4
        by_epoch=True,
        begin=40,
        convert_to_iter_based=True,
    ),
]
