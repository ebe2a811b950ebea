"""ExtreMA's schedule for some minutes on a CPU: the form of the paper's, other numbers."""

_base_ = ["./extrema_adamw_300e.py"]

optim_wrapper = dict(optimizer=dict(lr=1e-3))
auto_scale_lr = dict(base_batch_size=64)
train_cfg = dict(max_epochs=20)
# The warm-up counts steps and the cosine runs from the start; their factors multiply. So any
# number of epochs fits, and any number of pictures.
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", eta_min=0.0, by_epoch=True, begin=0, convert_to_iter_based=True),
]
