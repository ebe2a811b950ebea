"""Renamed; this name goes with the next release."""

_base_ = ["./extrema_vit-base-p16_mask-rcnn_16xb2-1x_coco.py"]
_deprecation_ = dict(
    expected="extrema_vit-base-p16_mask-rcnn_16xb2-1x_coco.py",
    reference="configs/README.md",
)
