"""ImageNet-1K for ExtreMA: one crop and flip shared by both views, then colours of their own.

The student gets the first view, the teacher the second.
"""

_base_ = ["./imagenet_pretrain.py", "../methods/extrema.py"]

__method = _base_.pop("method")

train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(
                type="LoadResizedCrop",
                size=224,
                scale=(0.2, 1.0),
                interpolation=__method.interpolation,
                flip_prob=0.5,
            ),
            dict(type="NumpyToPIL", to_rgb=True),
            dict(
                type="MultiView",
                num_views=2,
                transforms=[[*__method.colours, dict(type="PILToNumpy", to_bgr=True)]],
            ),
            dict(type="PackInputs"),
        ]
    )
)
