"""Semantic segmentation, counted in iterations."""

_base_ = ["./default_runtime.py"]

default_scope = "mmseg"
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=16000),
    visualization=dict(type="SegVisualizationHook", draw=False, interval=1),
)
log_processor = dict(by_epoch=False)
env_cfg = dict(cudnn_benchmark=True)  # all crops have one size
visualizer = dict(
    type="SegLocalVisualizer", vis_backends=[dict(type="LocalVisBackend")], name="visualizer"
)
