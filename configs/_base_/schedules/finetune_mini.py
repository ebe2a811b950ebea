"""The fine-tuning schedule for a minute on a CPU: the form of the paper's, other numbers."""

_base_ = ["./finetune_adamw_100e.py"]

optim_wrapper = dict(optimizer=dict(lr=2e-3), paramwise_cfg=dict(layer_decay_rate=0.75))
auto_scale_lr = dict(base_batch_size=64)
train_cfg = dict(max_epochs=4, val_interval=1000)  # validation after the last epoch alone
# The warm-up counts steps and the cosine runs from the start; their factors multiply. So any
# number of epochs fits, and any number of pictures.
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", eta_min=0.0, by_epoch=True, begin=0, convert_to_iter_based=True),
]
# 0.98: the average of the last 50 steps of some hundreds, where 0.9998 would never arrive
custom_hooks = [dict(type="StepEMAHook", momentum=2e-2)]
