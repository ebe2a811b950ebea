"""ExtreMA's pretraining schedule: as BootMAE's, for 300 epochs and down to zero."""

_base_ = ["./bootmae_adamw_800e.py"]

# 8 GPUs x 256 = 2048 images a step: 1.5e-4 x 2048 / 256 = 1.2e-3
optim_wrapper = dict(optimizer=dict(lr=1.5e-4 * 2048 / 256, weight_decay=0.1))
auto_scale_lr = dict(base_batch_size=2048)

# max_epochs stands here alone: the cosine ends with it, whatever it is.
train_cfg = dict(max_epochs=300)
param_scheduler = [
    dict(
        type="LinearLR",
        start_factor=1e-6,  # from zero; an exact 0 divides by zero in mmengine
        by_epoch=True,
        begin=0,
        end=40,
        convert_to_iter_based=True,
    ),
    dict(
        type="CosineAnnealingLR",
        eta_min=0.0,
        by_epoch=True,
        begin=40,
        convert_to_iter_based=True,
    ),
]
