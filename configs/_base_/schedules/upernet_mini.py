"""UperNet's schedule for a minute or two on a CPU: the form of the paper's, other numbers."""

_base_ = ["./upernet_adamw_160k.py"]

optim_wrapper = dict(optimizer=dict(lr=1e-3), paramwise_cfg=dict(layer_decay_rate=0.75))
auto_scale_lr = dict(base_batch_size=8)
train_cfg = dict(max_iters=200)  # validation after the last alone
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, by_epoch=False, begin=0, end=20),
    dict(type="PolyLR", power=1.0, eta_min=0.0, by_epoch=False, begin=0),
]
