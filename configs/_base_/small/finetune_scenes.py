"""Fine-tuning of the small ViT on drawn scenes, eight classes, for the weights of any method.

What random weights run instead stands in ``random_weights``: the best of ``maskssl study``, by the
mean of three seeds (docs/measured.md).
"""

_base_ = [
    "../models/vit_classifier-mini.py",
    "../datasets/scenes_classification.py",
    "../schedules/finetune_mini.py",
    "../runtime_mmpretrain.py",
]

model = dict(
    data_preprocessor=dict(num_classes=8),
    backbone=dict(img_size=48, patch_size=8),
    head=dict(num_classes=8),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=1.0))
random_weights = {"optim_wrapper.paramwise_cfg.layer_decay_rate": 0.75}
auto_scale_lr = dict(base_batch_size=16)
train_cfg = dict(max_epochs=30)

default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=-1))  # -1: the last alone
