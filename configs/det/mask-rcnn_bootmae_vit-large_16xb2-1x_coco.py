"""Renamed; this name goes with the next release."""

_base_ = ["./bootmae_vit-large-p16_mask-rcnn_16xb2-1x_coco.py"]
_deprecation_ = dict(
    expected="bootmae_vit-large-p16_mask-rcnn_16xb2-1x_coco.py",
    reference="configs/README.md",
)
