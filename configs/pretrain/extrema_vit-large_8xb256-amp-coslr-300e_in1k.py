"""Renamed; this name goes with the next release."""

_base_ = ["./extrema_vit-large-p16_8xb256-amp-coslr-300e_in1k.py"]
_deprecation_ = dict(
    expected="extrema_vit-large-p16_8xb256-amp-coslr-300e_in1k.py",
    reference="configs/README.md",
)
