"""ImageNet-1K without labels for ExtreMA, 256 images per GPU: data/imagenet/train/CLASS/*.

Both views share one crop and flip; the colours of each are then drawn on their own. The
student gets the first view, the teacher the second.
"""

_base_ = ["./view_colours.py"]

shared_crop = [
    dict(type="LoadImage"),
    dict(
        type="RandomResizedCrop",
        scale=224,
        crop_ratio_range=(0.2, 1.0),
        backend="pillow",
        interpolation="bilinear",
    ),
    dict(type="RandomFlip", prob=0.5),
]
train_pipeline = [
    *shared_crop,
    dict(type="MultiView", num_views=2, transforms=[{{_base_.colours}}]),
    dict(type="PackInputs"),
]
# without colours both views are the same image: one is enough
plain_pipeline = [*shared_crop, dict(type="PackInputs")]

train_dataloader = dict(
    batch_size=256,
    num_workers=10,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        type="CustomDataset",
        data_root="data/imagenet",
        data_prefix="train",
        with_label=False,
        pipeline=train_pipeline,
    ),
)
