"""Renamed; this name goes with the next release."""

_base_ = ["./extrema_vit-base-p16_linear_8xb512-amp-coslr-90e_in1k.py"]
_deprecation_ = dict(
    expected="extrema_vit-base-p16_linear_8xb512-amp-coslr-90e_in1k.py",
    reference="configs/README.md",
)
