"""The linear probe's schedule for seconds on a CPU: LARS as in the paper, other numbers."""

_base_ = ["./linear_lars_90e.py"]

# LARS steps in proportion to the weights, so the paper's lr of 6.4 stays, small batch or not.
optim_wrapper = dict(accumulative_counts=1)
auto_scale_lr = dict(base_batch_size=64)
train_cfg = dict(max_epochs=6, val_interval=1000)  # validation after the last epoch alone
# The warm-up counts steps and the cosine runs from the start; their factors multiply. So any
# number of epochs fits, and any number of pictures.
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", eta_min=0.0, by_epoch=True, begin=0, convert_to_iter_based=True),
]
