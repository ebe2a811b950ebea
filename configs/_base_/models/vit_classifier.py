"""ViT-B/16 to fine-tune: mean of the patch tokens -> LayerNorm -> linear.

The cls token stays in the sequence, the final norm of the pretraining is dropped and
the position table stays fixed (modeling_finetune_bootmae.py).
"""

model = dict(
    type="ImageClassifier",
    data_preprocessor=dict(
        type="ClsDataPreprocessor",
        to_rgb=True,
        num_classes=1000,
        to_onehot=True,
    ),
    backbone=dict(
        type="PlainViT",
        arch="base",
        img_size=224,
        patch_size=16,
        out_type="avg",
        final_norm=False,
        drop_path_rate=0.1,
        # --pretrained names the file, or 'none' for random weights; without it a run is refused
        init_cfg=dict(type="Pretrained", checkpoint=None, branch="student"),
    ),
    head=dict(
        type="PooledLinearHead",
        in_channels=768,
        num_classes=1000,
        norms=[dict(type="LN", eps=1e-6)],
        init_std=2e-5,  # 0.02 times the authors' init_scale of 0.001
        loss=dict(type="LabelSmoothLoss", label_smooth_val=0.1, mode="original"),
        topk=(1, 5),
    ),
    train_cfg=dict(augments=[dict(type="Mixup", alpha=0.8), dict(type="CutMix", alpha=1.0)]),
)
