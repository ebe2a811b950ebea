"""ExtreMA's schedule for the linear probe: SGD on 4096 images a step, 10 epochs up, cosine down."""

optim_wrapper = dict(
    type="AutocastOptimWrapper",
    dtype="bfloat16",
    # 8 GPUs x 512 = 4096 images a step: 0.1 x 4096 / 256 = 1.6
    optimizer=dict(type="SGD", lr=0.1 * 4096 / 256, momentum=0.9, weight_decay=0.0),
    constructor="LayerDecayOptimWrapperConstructor",  # leaves the frozen backbone out
    paramwise_cfg=dict(layer_decay_rate=1.0),
)
auto_scale_lr = dict(base_batch_size=4096, enable=False)

train_cfg = dict(by_epoch=True, max_epochs=90, val_interval=10)
val_cfg = dict()
test_cfg = dict()
param_scheduler = [
    dict(
        type="LinearLR",
        start_factor=1e-6,
        by_epoch=True,
        begin=0,
        end=10,
        convert_to_iter_based=True,
    ),
    dict(
        type="CosineAnnealingLR",
        eta_min=0.0,
        by_epoch=True,
        begin=10,
        convert_to_iter_based=True,
    ),
]
