"""CAE's 1x schedule for Mask R-CNN: AdamW with layer decay, 12 epochs, steps at 9 and 11."""

optim_wrapper = dict(
    # fp32 (CAE runs apex fp16): mmcv has no RoIAlign for bf16, and mmdet would place anchors
    # and regions in it, in steps of 4 pixels beyond 512
    type="OptimWrapper",
    # 16 GPUs x 2 = 32 images an iteration
    optimizer=dict(type="AdamW", lr=3e-4, betas=(0.9, 0.999), weight_decay=0.05),
    constructor="LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(layer_decay_rate=0.75),
)
auto_scale_lr = dict(base_batch_size=32, enable=False)

train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=12, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type="MultiStepLR", by_epoch=True, begin=0, milestones=[9, 11], gamma=0.1),
]
