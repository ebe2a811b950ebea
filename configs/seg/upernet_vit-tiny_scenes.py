"""UperNet on the small ViT, drawn scenes of 128 x 128, background and eight shapes.

For trying things out: a minute or two on two CPU cores. Not from the paper.
Run:
    python tools/train.py configs/seg/upernet_vit-tiny_scenes.py --pretrained CHECKPOINT
Length: --cfg-options train_cfg.max_iters=N
"""

_base_ = [
    "../_base_/models/upernet_vit_tiny.py",
    "../_base_/datasets/scenes_segmentation.py",
    "../_base_/schedules/upernet_tiny.py",
    "../_base_/runtime_mmseg.py",
]

model = dict(
    data_preprocessor=dict(size=(128, 128)),
    backbone=dict(img_size=128),
    decode_head=dict(num_classes=9),
    auxiliary_head=dict(num_classes=9),
    test_cfg=dict(_delete_=True, mode="whole"),
)

default_hooks = dict(logger=dict(interval=10))
