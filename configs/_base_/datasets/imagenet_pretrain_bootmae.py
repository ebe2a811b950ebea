"""ImageNet-1K for BootMAE: crop, flip, block mask.

The crop is torchvision's on Pillow images, which smooth when they shrink; cv2 does not.
"""

_base_ = ["./imagenet_pretrain.py", "../methods/bootmae.py"]

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
            # 120 of 196 patches in blocks of 16 to 60
            dict(type="BlockMask", grid=(14, 14), num_masks=120, min_area=16, max_area=60),
            dict(type="PackInputs", algorithm_keys=["mask"]),
        ]
    )
)
