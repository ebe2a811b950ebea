"""UperNet on the small ViT, drawn scenes of 64 x 64, background and eight classes.

For the weights of any method. What random weights run instead stands in ``random_weights``: the
best of ``maskssl study``, by the mean of three seeds (docs/measured.md).
"""

_base_ = [
    "../models/upernet_vit-mini.py",
    "../datasets/scenes_segmentation.py",
    "../schedules/upernet_mini.py",
    "../runtime_mmseg.py",
]

model = dict(
    data_preprocessor=dict(size=(64, 64), test_cfg=None),  # tests resize, and have no window
    backbone=dict(img_size=64, out_indices=[1, 2, 3]),
    # strides of 4, 8 and 16: a map of stride 2 would cost more than all the rest
    neck=dict(scales=(2, 1, 0.5)),
    decode_head=dict(in_channels=[96, 96, 96], in_index=[0, 1, 2], channels=48, num_classes=9),
    auxiliary_head=dict(in_index=1, num_classes=9),
    test_cfg=dict(_delete_=True, mode="whole"),
)
# by AdamW the head stayed at "all background" for some hundred steps
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type="SGD", lr=0.3, momentum=0.9, weight_decay=5e-4),
    paramwise_cfg=dict(layer_decay_rate=1.0, backbone_lr_mult=0.3),
)
random_weights = {
    "optim_wrapper.optimizer.lr": 0.09,
    "optim_wrapper.paramwise_cfg.layer_decay_rate": 0.75,
}
train_cfg = dict(max_iters=400)

default_hooks = dict(logger=dict(interval=10))
