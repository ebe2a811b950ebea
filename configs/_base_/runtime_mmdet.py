"""Detection and instance segmentation."""

_base_ = ["./default_runtime.py"]

default_scope = "mmdet"
default_hooks = dict(visualization=dict(type="DetVisualizationHook", draw=False))
visualizer = dict(
    type="DetLocalVisualizer",
    vis_backends=[dict(type="LocalVisBackend"), dict(type="TensorboardVisBackend")],
    name="visualizer",
)
