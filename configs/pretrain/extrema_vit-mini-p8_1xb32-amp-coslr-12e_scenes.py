"""Renamed; this name goes with the next release."""

_base_ = ["./extrema_vit-mini-p8_1xb32-amp-coslr-10e_scenes.py"]
_deprecation_ = dict(
    expected="extrema_vit-mini-p8_1xb32-amp-coslr-10e_scenes.py",
    reference="configs/README.md",
)
