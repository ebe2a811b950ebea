r"""Fine-tuning of BootMAE's ViT-L/16 on ImageNet-1K.

Paper: arXiv 2207.07116. Expected (published): 85.9 top-1 after 800 epochs of pretraining.
Run:
    bash tools/dist_train.sh \
        configs/finetune/bootmae_vit-large-p16_finetune_8xb128-amp-coslr-50e_in1k.py 8 \
        --pretrained CHECKPOINT
Cost: unpublished.
Reproduced: no.
"""

_base_ = ["./bootmae_vit-base-p16_finetune_8xb256-amp-coslr-100e_in1k.py"]

model = dict(backbone=dict(arch="large"), head=dict(in_channels=1024))
train_dataloader = dict(batch_size=128)

# 8 GPUs x 128 = 1024 images a step
optim_wrapper = dict(optimizer=dict(lr=1.5e-3), paramwise_cfg=dict(layer_decay_rate=0.75))
auto_scale_lr = dict(base_batch_size=1024)
train_cfg = dict(max_epochs=50)
param_scheduler = [
    dict(
        type="LinearLR",
        start_factor=1e-6,
        by_epoch=True,
        begin=0,
        end=5,
        convert_to_iter_based=True,
    ),
    dict(
        type="CosineAnnealingLR",
        eta_min_ratio=1e-6 / 1.5e-3,
        by_epoch=True,
        begin=5,
        convert_to_iter_based=True,
    ),
]
