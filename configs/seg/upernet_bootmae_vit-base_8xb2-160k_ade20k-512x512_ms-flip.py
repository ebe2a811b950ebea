"""Renamed; this name goes with the next release."""

_base_ = ["./bootmae_vit-base-p16_upernet_8xb2-amp-160k_ade20k-512x512_ms-flip.py"]
_deprecation_ = dict(
    expected="bootmae_vit-base-p16_upernet_8xb2-amp-160k_ade20k-512x512_ms-flip.py",
    reference="configs/README.md",
)
