"""Renamed; this name goes with the next release."""

_base_ = ["./bootmae_vit-mini-p8_upernet_1xb8-amp-1k_camvid.py"]
_deprecation_ = dict(
    expected="bootmae_vit-mini-p8_upernet_1xb8-amp-1k_camvid.py",
    reference="configs/README.md",
)
