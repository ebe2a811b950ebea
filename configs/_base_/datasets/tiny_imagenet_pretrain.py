"""Tiny-ImageNet without labels: data/tiny_imagenet/{train,val}/CLASS/*.JPEG, 64 x 64."""

_base_ = ["./cifar10_pretrain.py"]

train_dataloader = dict(
    batch_size=512, num_workers=14, pin_memory=True, dataset=dict(data_root="data/tiny_imagenet")
)
