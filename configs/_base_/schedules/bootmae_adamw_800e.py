"""BootMAE's pretraining schedule: AdamW, 40 epochs up, then a cosine down, step by step."""

optim_wrapper = dict(
    # the authors run fp16 autocast without clipping
    type="AutocastOptimWrapper",
    dtype="bfloat16",
    # 16 GPUs x 256 = 4096 images a step: 1.5e-4 x 4096 / 256 = 2.4e-3. The authors' README
    # says 128 x 16 = 2048 in prose; its command and the script say 256 per GPU.
    optimizer=dict(
        type="AdamW", lr=1.5e-4 * 4096 / 256, betas=(0.9, 0.95), weight_decay=0.05, fused=True
    ),
    # a rate of 1 only groups weight decay: none on 1-D parameters, biases, position and cls
    constructor="LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(layer_decay_rate=1.0),
)
auto_scale_lr = dict(base_batch_size=4096, enable=False)

# max_epochs stands here alone: the cosine ends with it, whatever it is.
train_cfg = dict(by_epoch=True, max_epochs=801)
param_scheduler = [
    dict(
        type="LinearLR",
        start_factor=1e-6,  # from zero; an exact 0 divides by zero in mmengine
        by_epoch=True,
        begin=0,
        end=40,
        convert_to_iter_based=True,
    ),
    dict(
        type="CosineAnnealingLR",
        eta_min=1e-4,  # absolute, not scaled with the batch
        by_epoch=True,
        begin=40,
        convert_to_iter_based=True,
    ),
]
