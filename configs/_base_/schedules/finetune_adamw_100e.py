"""BootMAE's fine-tuning schedule for Base: AdamW with layer decay, EMA of the weights."""

optim_wrapper = dict(
    # the authors run DeepSpeed fp16
    type="AutocastOptimWrapper",
    dtype="bfloat16",
    # 8 GPUs x 256 = 2048 images a step; the lr is not scaled by it
    optimizer=dict(type="AdamW", lr=5e-3, betas=(0.9, 0.999), weight_decay=0.05),
    constructor="LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(layer_decay_rate=0.6),
)
auto_scale_lr = dict(base_batch_size=2048, enable=False)

train_cfg = dict(by_epoch=True, max_epochs=100, val_interval=5)
val_cfg = dict()
test_cfg = dict()
param_scheduler = [
    dict(
        type="LinearLR",
        start_factor=1e-6,
        by_epoch=True,
        begin=0,
        end=20,
        convert_to_iter_based=True,
    ),
    dict(
        type="CosineAnnealingLR",
        eta_min_ratio=1e-6 / 5e-3,  # min lr 1e-6, scaled per layer as the lr is
        by_epoch=True,
        begin=20,
        convert_to_iter_based=True,
    ),
]

# Decay 0.9998 a step. Validation, tests and the saved state_dict use the averaged weights.
custom_hooks = [dict(type="StepEMAHook", momentum=2e-4)]
