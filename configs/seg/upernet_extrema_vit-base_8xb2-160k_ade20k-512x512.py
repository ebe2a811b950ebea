"""Renamed; this name goes with the next release."""

_base_ = ["./extrema_vit-base-p16_upernet_8xb2-amp-160k_ade20k-512x512.py"]
_deprecation_ = dict(
    expected="extrema_vit-base-p16_upernet_8xb2-amp-160k_ade20k-512x512.py",
    reference="configs/README.md",
)
