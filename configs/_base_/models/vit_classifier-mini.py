"""The small ViT to fine-tune."""

_base_ = ["./vit_classifier.py"]

model = dict(
    backbone=dict(
        arch="mini",
        drop_path_rate=0.05,
    ),
    head=dict(in_channels=96, topk=(1,)),
    # half of the batches stay as they are: a short run learns little from mixed pictures alone
    train_cfg=dict(probs=[0.25, 0.25]),
)
