"""Nearest neighbours of frozen ViT-B/16 features: no training at all.

The feature is the mean of the patch tokens behind the pretraining's final norm; the
authors publish no kNN figure, so this choice is ours.
"""

model = dict(
    type="KNNClassifier",
    k=20,
    temperature=0.07,
    data_preprocessor=dict(type="ClsDataPreprocessor", to_rgb=True),
    backbone=dict(
        type="PlainViT",
        arch="base",
        img_size=224,
        patch_size=16,
        out_type="avg",
        final_norm=True,
        init_cfg=dict(type="Pretrained", checkpoint=None, branch="student"),
    ),
)
