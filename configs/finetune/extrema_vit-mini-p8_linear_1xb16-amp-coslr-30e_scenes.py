r"""Linear probe of ExtreMA's small ViT on drawn scenes: the momentum encoder's class token.

For trying things out. Not from the paper.
Run:
    python tools/train.py \
        configs/finetune/extrema_vit-mini-p8_linear_1xb16-amp-coslr-30e_scenes.py \
        --pretrained CHECKPOINT
Other features, by --cfg-options: the student's with model.backbone.init_cfg.branch=student, the
normed token with model.backbone.final_norm=True, the mean of the patch tokens with
model.backbone.out_type=avg model.backbone.class_attention=None.
"""

_base_ = ["../_base_/small/linear_scenes.py", "../_base_/methods/extrema.py"]

__method = _base_.pop("method")

model = dict(
    data_preprocessor=__method.pixel_norm,
    backbone=dict(**__method.encoder, **__method.class_token),
    head=dict(norms=[dict(type="SyncBN", eps=1e-5, affine=False)]),
)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type="SGD", lr=0.1, momentum=0.9, weight_decay=0.0)
)
