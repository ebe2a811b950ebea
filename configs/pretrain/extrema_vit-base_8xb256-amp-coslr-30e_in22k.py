"""Renamed; this name goes with the next release."""

_base_ = ["./extrema_vit-base-p16_8xb256-amp-coslr-30e_in22k.py"]
_deprecation_ = dict(
    expected="extrema_vit-base-p16_8xb256-amp-coslr-30e_in22k.py",
    reference="configs/README.md",
)
