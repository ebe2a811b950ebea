"""Renamed; this name goes with the next release."""

_base_ = ["./bootmae_vit-mini-p4_1xb32-amp-coslr-8e_cifar10.py"]
_deprecation_ = dict(
    expected="bootmae_vit-mini-p4_1xb32-amp-coslr-8e_cifar10.py",
    reference="configs/README.md",
)
