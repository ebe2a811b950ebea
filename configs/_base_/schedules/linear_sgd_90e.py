"""ExtreMA's schedule for the linear probe: MAE's curve, with SGD on 4096 images a step."""

_base_ = ["./linear_lars_90e.py"]

optim_wrapper = dict(
    accumulative_counts=1,
    # 8 GPUs x 512 = 4096 images a step: 0.1 x 4096 / 256 = 1.6
    optimizer=dict(_delete_=True, type="SGD", lr=0.1 * 4096 / 256, momentum=0.9, weight_decay=0.0),
)
auto_scale_lr = dict(base_batch_size=4096)
