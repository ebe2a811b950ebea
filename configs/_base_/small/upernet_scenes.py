"""UperNet on the small ViT, drawn scenes of 128 x 128, background and eight shapes.

For the weights of any method.
"""

_base_ = [
    "../models/upernet_vit-mini.py",
    "../datasets/scenes_segmentation.py",
    "../schedules/upernet_mini.py",
    "../runtime_mmseg.py",
]

model = dict(
    data_preprocessor=dict(size=(128, 128)),
    backbone=dict(img_size=128),
    decode_head=dict(num_classes=9),
    auxiliary_head=dict(num_classes=9),
    test_cfg=dict(_delete_=True, mode="whole"),
)

default_hooks = dict(logger=dict(interval=10))
