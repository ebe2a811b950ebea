"""Semantic segmentation, counted in iterations."""

_base_ = ["./default_runtime.py"]

default_scope = "mmseg"
default_hooks = dict(
    logger=dict(log_metric_by_epoch=False),  # else each validation is logged at step 0
    checkpoint=dict(by_epoch=False, interval=16000),
    visualization=dict(type="SegVisualizationHook", draw=False, interval=1),
)
log_processor = dict(by_epoch=False)
env_cfg = dict(cudnn_benchmark=True)  # all crops have one size
visualizer = dict(
    type="SegLocalVisualizer",
    vis_backends=[dict(type="LocalVisBackend"), dict(type="TensorboardVisBackend")],
    name="visualizer",
)
