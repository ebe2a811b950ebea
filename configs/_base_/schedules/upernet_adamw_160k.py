"""BootMAE's ADE20K schedule: AdamW with layer decay, 160k iterations, linear to zero."""

optim_wrapper = dict(
    # the authors run apex fp16
    type="AutocastOptimWrapper",
    dtype="bfloat16",
    # 8 GPUs x 2 = 16 images an iteration
    optimizer=dict(type="AdamW", lr=4e-4, betas=(0.9, 0.999), weight_decay=0.05),
    clip_grad=dict(max_norm=3, norm_type=2),
    # Biases, norms, position and cls are not decayed. The authors' constructor looks for
    # 'pos_embed' without its 'backbone.' and so decays a trained table and the cls token.
    constructor="LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(layer_decay_rate=0.65),
)
auto_scale_lr = dict(base_batch_size=16, enable=False)

train_cfg = dict(type="IterBasedTrainLoop", max_iters=160000, val_interval=16000)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
# Both act from the start and multiply: the warm-up rises along the falling line.
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type="PolyLR", power=1.0, eta_min=0.0, by_epoch=False, begin=0),  # to max_iters
]
