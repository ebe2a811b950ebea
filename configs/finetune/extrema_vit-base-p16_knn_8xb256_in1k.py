"""kNN on ImageNet-1K with ExtreMA's ViT-B/16: the momentum encoder's class token, normed.

Paper: arXiv 2206.04667.
Expected: the paper has no figure, so the choice of the feature is ours.
Run:
    bash tools/dist_test.sh configs/finetune/extrema_vit-base-p16_knn_8xb256_in1k.py CHECKPOINT 8
Cost: unpublished.
Reproduced: no.
"""

_base_ = [
    "../_base_/models/vit_knn.py",
    "../_base_/datasets/imagenet_knn.py",
    "../_base_/runtime_mmpretrain.py",
    "../_base_/methods/extrema.py",
]

__method = _base_.pop("method")
for __loader in (_base_.test_dataloader, _base_.test_cfg.bank_dataloader):
    __loader.dataset.pipeline[1].interpolation = __method.interpolation

model = dict(
    data_preprocessor=__method.pixel_norm,
    backbone=dict(**__method.encoder, **__method.class_token),
)
