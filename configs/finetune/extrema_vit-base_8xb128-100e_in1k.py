"""Renamed; this name goes with the next release."""

_base_ = ["./extrema_vit-base-p16_finetune_8xb128-amp-coslr-100e_in1k.py"]
_deprecation_ = dict(
    expected="extrema_vit-base-p16_finetune_8xb128-amp-coslr-100e_in1k.py",
    reference="configs/README.md",
)
