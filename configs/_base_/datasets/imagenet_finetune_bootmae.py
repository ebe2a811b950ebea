"""ImageNet-1K for BootMAE's fine-tuning: crop, flip, RandAugment, erasing; test 224/256.

The authors also pass colour jitter 0.4, which timm drops under RandAugment.
"""

_base_ = ["./imagenet_classification.py", "../methods/bootmae.py"]

__method = _base_.pop("method")

train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="LoadImage"),
            dict(type="NumpyToPIL", to_rgb=True),
            dict(
                type="torchvision/RandomResizedCrop",
                size=224,
                scale=(0.08, 1.0),
                interpolation="bicubic",
            ),
            dict(type="torchvision/RandomHorizontalFlip", p=0.5),
            # bared corners take the method's mean
            dict(
                type="TimmRandAugment",
                policy="rand-m9-mstd0.5-inc1",
                mean=__method.pixel_norm.mean,
                interpolation="bicubic",
            ),
            dict(type="PILToNumpy", to_bgr=True),
            # noise of N(0, 1) once the model has normalised the image
            dict(type="TimmRandomErasing", prob=0.25, **__method.pixel_norm),
            dict(type="PackInputs"),
        ]
    )
)
