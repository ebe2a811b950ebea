"""ImageNet-1K for BootMAE: crop, flip, block mask.

Cropped and resized by torchvision on Pillow images, which smooth when they shrink; cv2 does not.
"""

_base_ = ["./imagenet_pretrain.py", "../methods/bootmae.py"]

__method = _base_.pop("method")

train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="LoadImage"),
            dict(type="NumpyToPIL", to_rgb=True),
            dict(
                type="torchvision/RandomResizedCrop",
                size=224,
                scale=(0.2, 1.0),
                interpolation=__method.interpolation,
            ),
            dict(type="torchvision/RandomHorizontalFlip", p=0.5),
            dict(type="PILToNumpy", to_bgr=True),
            # 120 of 196 patches in blocks of 16 to 60
            dict(type="BlockMask", grid=(14, 14), num_masks=120, min_area=16, max_area=60),
            dict(type="PackInputs", algorithm_keys=["mask"]),
        ]
    )
)
