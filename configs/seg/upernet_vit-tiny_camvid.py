"""UperNet on the small ViT, CamVid's 11 classes: crops of 192, a sliding window in tests.

For trying things out on real images. Not from the paper.
Run, with the data in data/camvid:
    python tools/train.py configs/seg/upernet_vit-tiny_camvid.py --pretrained CHECKPOINT
"""

_base_ = [
    "../_base_/models/upernet_vit_tiny.py",
    "../_base_/datasets/camvid_segmentation.py",
    "../_base_/schedules/upernet_tiny.py",
    "../_base_/runtime_mmseg.py",
]

model = dict(
    data_preprocessor=dict(size=(192, 192)),
    backbone=dict(img_size=192),
    decode_head=dict(num_classes=11),
    auxiliary_head=dict(num_classes=11),
    test_cfg=dict(crop_size=(192, 192), stride=(128, 128)),
)

train_cfg = dict(max_iters=1000)  # 22 times the 367 pictures

default_hooks = dict(logger=dict(interval=10))
