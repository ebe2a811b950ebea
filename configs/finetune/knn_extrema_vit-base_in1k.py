"""Renamed; this name goes with the next release."""

_base_ = ["./extrema_vit-base-p16_knn_8xb256_in1k.py"]
_deprecation_ = dict(
    expected="extrema_vit-base-p16_knn_8xb256_in1k.py",
    reference="configs/README.md",
)
