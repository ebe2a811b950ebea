"""Renamed; this name goes with the next release."""

_base_ = ["./extrema_vit-base-p16_8xb256-amp-coslr-300e_in1k_no-colour.py"]
_deprecation_ = dict(
    expected="extrema_vit-base-p16_8xb256-amp-coslr-300e_in1k_no-colour.py",
    reference="configs/README.md",
)
