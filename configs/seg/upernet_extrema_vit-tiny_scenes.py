"""Renamed; this name goes with the next release."""

_base_ = ["./extrema_vit-mini-p8_upernet_1xb8-amp-400i_scenes.py"]
_deprecation_ = dict(
    expected="extrema_vit-mini-p8_upernet_1xb8-amp-400i_scenes.py",
    reference="configs/README.md",
)
