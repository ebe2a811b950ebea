"""UperNet on the small ViT, drawn scenes of 64 x 64, background and eight shapes.

For the weights of any method.
"""

_base_ = [
    "../models/upernet_vit-mini.py",
    "../datasets/scenes_segmentation.py",
    "../schedules/upernet_mini.py",
    "../runtime_mmseg.py",
]

model = dict(
    data_preprocessor=dict(size=(64, 64)),
    backbone=dict(img_size=64),
    decode_head=dict(num_classes=9),
    auxiliary_head=dict(num_classes=9),
    test_cfg=dict(_delete_=True, mode="whole"),
)

default_hooks = dict(logger=dict(interval=10))
