"""A linear layer on the frozen ViT-B/16: patch mean -> LN -> BN -> linear.

The LayerNorm is fresh and never trained, the BatchNorm has no affine and takes its
statistics per GPU (main_linprobe.py).
"""

model = dict(
    type="ImageClassifier",
    data_preprocessor=dict(type="ClsDataPreprocessor", to_rgb=True),
    backbone=dict(
        type="PlainViT",
        arch="base",
        img_size=224,
        patch_size=16,
        out_type="avg",
        # Cut behind this block, counted from 0: [9] keeps 10 layers, as the authors' script
        # for Base does. Their README says 9 layers: model.backbone.out_indices=[8].
        out_indices=[9],
        final_norm=False,
        frozen_stages=12,  # all of them, wherever the cut lies
        init_cfg=dict(type="Pretrained", checkpoint=None, branch="student"),
    ),
    head=dict(
        type="PooledLinearHead",
        in_channels=768,
        num_classes=1000,
        norms=[
            dict(type="LN", eps=1e-6, requires_grad=False),
            dict(type="BN1d", eps=1e-6, affine=False),
        ],
        init_std=0.01,
        loss=dict(type="CrossEntropyLoss", loss_weight=1.0),
        topk=(1, 5),
    ),
)
