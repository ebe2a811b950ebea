"""Renamed; this name goes with the next release."""

_base_ = ["./extrema_vit-mini-p4_knn_1xb256_cifar10.py"]
_deprecation_ = dict(
    expected="extrema_vit-mini-p4_knn_1xb256_cifar10.py",
    reference="configs/README.md",
)
