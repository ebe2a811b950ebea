"""ExtreMA, ViT-B/16, 30 epochs on ImageNet-22K from an index file.

Paper: arXiv 2206.04667. Expected (published): linear 74.5, fine-tune 83.9 top-1 on IN1K.
Run, with one path per line in data/imagenet22k/train.txt:
    python tools/index_images.py data/imagenet22k/train.txt
    bash tools/dist_train.sh configs/pretrain/extrema_vit-base-p16_8xb256-amp-coslr-30e_in22k.py 8
Cost: 56 hours on 8 V100 (published).
Reproduced: no.

The warm-up is unpublished and 40 of 30 epochs are impossible: 4 is ours.
"""

_base_ = ["./extrema_vit-base-p16_8xb256-amp-coslr-300e_in1k.py"]

train_dataloader = dict(
    sampler=dict(_delete_=True, type="TensorSampler", shuffle=True),
    dataset=dict(
        _delete_=True,
        type="IndexedImages",
        data_root="data/imagenet22k",
        ann_file="train.txt",
        with_label=False,
        pipeline={{_base_.train_dataloader.dataset.pipeline}},
    ),
)
train_cfg = dict(max_epochs=30)
param_scheduler = [
    dict(
        type="LinearLR",
        start_factor=1e-6,
        by_epoch=True,
        begin=0,
        end=4,
        convert_to_iter_based=True,
    ),
    dict(
        type="CosineAnnealingLR",
        eta_min=0.0,
        by_epoch=True,
        begin=4,
        convert_to_iter_based=True,
    ),
]
default_hooks = dict(checkpoint=dict(interval=1))
