"""Renamed; this name goes with the next release."""

_base_ = ["./bootmae_vit-mini-p8_1xb32-amp-coslr-8e_camvid.py"]
_deprecation_ = dict(
    expected="bootmae_vit-mini-p8_1xb32-amp-coslr-8e_camvid.py",
    reference="configs/README.md",
)
