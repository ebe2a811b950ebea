"""What every run shares, whatever its scope."""

custom_imports = dict(imports=["maskssl.registration"], allow_failed_imports=False)

default_hooks = dict(
    runtime_info=dict(type="RuntimeFiguresHook"),
    timer=dict(type="IterTimerHook"),
    logger=dict(type="SafeLoggerHook", interval=50),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="SafeCheckpointHook", interval=1, max_keep_ckpts=3, background=True),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    unreadable=dict(type="UnreadableImagesHook", max_share=0.01),
    throughput=dict(type="ThroughputHook"),
    ledger=dict(type="LedgerHook"),
    progress=dict(type="ProgressHook"),
    finite=dict(type="FiniteStepHook", max_in_a_row=10),
    preemption=dict(type="PreemptionHook"),
    # pretraining compiles where a GPU is; enabled=False runs it as it is written
    compile=dict(type="CompileHook", enabled="auto"),
)
log_processor = dict(type="LogProcessor", window_size=50, by_epoch=True)
log_level = "INFO"

env_cfg = dict(
    cudnn_benchmark=False,
    # one OpenCV thread per loader process; more of them only get into each other's way
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    # seconds that ranks wait for one another; longer than rank 0 ever works alone
    dist_cfg=dict(backend="nccl", timeout=600),
)
# One seed on all ranks: they share the images out by it. A sample's draws depend on (seed,
# epoch, image), a step's on (seed, step, rank).
randomness = dict(seed=0)

# type="fsdp2" or "deepspeed" (an extra) splits the model over the processes; empty does not
sharding = dict()

load_from = None
resume = False
