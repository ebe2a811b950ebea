"""UperNet on the small ViT, CamVid's 11 classes: crops of 192, a sliding window in tests.

For the weights of any method.
"""

_base_ = [
    "../models/upernet_vit-mini.py",
    "../datasets/camvid_segmentation.py",
    "../schedules/upernet_mini.py",
    "../runtime_mmseg.py",
]

model = dict(
    data_preprocessor=dict(size=(192, 192), test_cfg=dict(size=(192, 192))),
    backbone=dict(img_size=192),
    decode_head=dict(num_classes=11),
    auxiliary_head=dict(num_classes=11),
    test_cfg=dict(crop_size=(192, 192), stride=(128, 128)),
)

train_cfg = dict(max_iters=1000)  # 22 times the 367 pictures

default_hooks = dict(logger=dict(interval=10))
