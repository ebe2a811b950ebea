"""Renamed; this name goes with the next release."""

_base_ = ["./bootmae_vit-mini-p8_linear_1xb16-amp-coslr-30e_scenes.py"]
_deprecation_ = dict(
    expected="bootmae_vit-mini-p8_linear_1xb16-amp-coslr-30e_scenes.py",
    reference="configs/README.md",
)
