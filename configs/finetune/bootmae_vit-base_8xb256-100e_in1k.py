"""Renamed; this name goes with the next release."""

_base_ = ["./bootmae_vit-base-p16_finetune_8xb256-amp-coslr-100e_in1k.py"]
_deprecation_ = dict(
    expected="bootmae_vit-base-p16_finetune_8xb256-amp-coslr-100e_in1k.py",
    reference="configs/README.md",
)
