"""Renamed; this name goes with the next release."""

_base_ = ["./extrema_vit-mini-p8_1xb64-amp-coslr-8e_camvid.py"]
_deprecation_ = dict(
    expected="extrema_vit-mini-p8_1xb64-amp-coslr-8e_camvid.py",
    reference="configs/README.md",
)
