"""Mask R-CNN's schedule for minutes on a CPU: a cosine, so that any length fits."""

_base_ = ["./mask_rcnn_adamw_1x.py"]

optim_wrapper = dict(optimizer=dict(lr=1e-3))
auto_scale_lr = dict(base_batch_size=8)
train_cfg = dict(max_epochs=2, val_interval=1000)  # validation after the last epoch alone
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, by_epoch=False, begin=0, end=30),
    dict(type="CosineAnnealingLR", eta_min=0.0, by_epoch=True, begin=0, convert_to_iter_based=True),
]
