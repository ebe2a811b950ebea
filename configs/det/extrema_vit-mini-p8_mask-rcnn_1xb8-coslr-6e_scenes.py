"""Renamed; this name goes with the next release."""

_base_ = ["./extrema_vit-mini-p8_mask-rcnn_1xb8-coslr-120e_scenes.py"]
_deprecation_ = dict(
    expected="extrema_vit-mini-p8_mask-rcnn_1xb8-coslr-120e_scenes.py",
    reference="configs/README.md",
)
