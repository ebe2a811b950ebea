"""The linear probe's schedule, MAE's: LARS on 16384 images a step."""

optim_wrapper = dict(
    type="AutocastOptimWrapper",
    dtype="bfloat16",
    # 8 GPUs x 1024 x 2 = 16384 images a step: 0.1 x 16384 / 256 = 6.4
    accumulative_counts=2,
    # The trust ratio and weight decay act on matrices only, and the momentum buffer holds the
    # scaled gradient without the lr. mmpretrain's LARS scales biases and folds the lr into the
    # buffer; timm's leaves out the trust ratio without weight decay.
    optimizer=dict(
        type="MAELARS",
        lr=0.1 * 16384 / 256,
        momentum=0.9,
        weight_decay=0.0,
        trust_coefficient=0.001,
    ),
    constructor="LayerDecayOptimWrapperConstructor",  # leaves the frozen backbone out
    paramwise_cfg=dict(layer_decay_rate=1.0),
)
auto_scale_lr = dict(base_batch_size=16384, enable=False)  # of one step

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
