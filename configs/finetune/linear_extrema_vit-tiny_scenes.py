r"""Linear probe of ExtreMA's small ViT on drawn scenes: the momentum encoder's class token.

For trying things out. Not from the paper.
Run:
    python tools/train.py \
        configs/finetune/linear_extrema_vit-tiny_scenes.py --pretrained CHECKPOINT
Other features, by --cfg-options: the student's with model.backbone.init_cfg.branch=student, the
normed token with model.backbone.final_norm=True, the mean of the patch tokens with
model.backbone.out_type=avg model.backbone.class_attention=None.
"""

_base_ = ["./linear_vit-tiny_scenes.py", "../_base_/models/extrema_encoder.py"]

model = dict(
    data_preprocessor={{_base_.pixel_norm}},
    backbone={{_base_.pooled_encoder}},
    head=dict(norms=[dict(type="SyncBN", eps=1e-5, affine=False)]),
)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type="SGD", lr=0.1, momentum=0.9, weight_decay=0.0)
)
