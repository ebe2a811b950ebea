r"""Linear probe of ExtreMA's ViT-B/16 on ImageNet-1K: the momentum encoder's class token.

Paper: arXiv 2206.04667. Expected (published): 73.3 top-1 after 300 epochs with colours, 67.1
    without, 68.4 with 90 % x 8, 74.5 after 30 epochs on ImageNet-22K.
Run:
    bash tools/dist_train.sh \
        configs/finetune/extrema_vit-base-p16_linear_8xb512-amp-coslr-90e_in1k.py 8 \
        --pretrained CHECKPOINT
Cost: unpublished.
Reproduced: no.

Other features, by --cfg-options: the student's with model.backbone.init_cfg.branch=student, the
normed token with model.backbone.final_norm=True, the mean of the patch tokens with
model.backbone.out_type=avg model.backbone.class_attention=None.
Scores the last epoch; the authors the best.
"""

_base_ = [
    "../_base_/models/vit_linear_probe.py",
    "../_base_/datasets/imagenet_linear_extrema.py",
    "../_base_/schedules/linear_sgd_90e.py",
    "../_base_/runtime_mmpretrain.py",
    "../_base_/methods/extrema.py",
]

__method = _base_.pop("method")

model = __method.linear
default_hooks = dict(checkpoint=dict(interval=10))
