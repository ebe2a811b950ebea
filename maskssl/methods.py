"""The methods of pretraining: one table, one row each. Data alone; nothing is imported for it.

A method is its model files, its row here and its configs. Whoever needs to know what differs
between methods (the quickstart, the curves of a report, sharding) reads it here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from .errors import MaskSSLError


@dataclass(frozen=True)
class Method:
    """A way of pretraining.

    Attributes:
        title: as papers write it.
        algorithm: type of its model in a pretraining config.
        configs: stage -> its config at the quickstart's scale, by its name below configs/ or
            an absolute path; 'pretrain', and 'linear', 'finetune', 'seg' and 'det', the recipes of
            ``maskssl transfer`` for small encoders.
        curves: key in the log of its pretraining -> what a picture calls it.
        blocks: class names of the modules that FSDP2 gathers one at a time.
        draws_pixels: its model predicts pixels, so its pretraining saves reconstructions.
    """

    title: str
    algorithm: str
    configs: Mapping[str, str]
    curves: Mapping[str, str]
    blocks: tuple[str, ...]
    draws_pixels: bool


SPREADS = {
    "spread_student": "spread of student features",
    "spread_teacher": "spread of teacher features",
}

METHODS: dict[str, Method] = {
    "bootmae": Method(
        title="BootMAE",
        algorithm="BootMAE",
        configs={
            "pretrain": "pretrain/bootmae_vit-mini-p8_1xb32-amp-coslr-12e_scenes.py",
            "linear": "finetune/bootmae_vit-mini-p8_linear_1xb16-amp-coslr-30e_scenes.py",
            "finetune": "finetune/bootmae_vit-mini-p8_finetune_1xb16-amp-coslr-30e_scenes.py",
            "seg": "seg/bootmae_vit-mini-p8_upernet_1xb8-amp-400i_scenes.py",
            "det": "det/bootmae_vit-mini-p8_mask-rcnn_1xb8-coslr-120e_scenes.py",
        },
        curves={
            "loss_pixel": "pixel loss",
            "feature_error": "feature loss, unweighted",
            **SPREADS,
        },
        blocks=("EncoderBlock", "DecoderBlock"),
        draws_pixels=True,
    ),
    "extrema": Method(
        title="ExtreMA",
        algorithm="ExtreMA",
        configs={
            "pretrain": "pretrain/extrema_vit-mini-p8_1xb32-amp-coslr-10e_scenes.py",
            "linear": "finetune/extrema_vit-mini-p8_linear_1xb16-amp-coslr-30e_scenes.py",
            "finetune": "finetune/extrema_vit-mini-p8_finetune_1xb16-amp-coslr-30e_scenes.py",
            "seg": "seg/extrema_vit-mini-p8_upernet_1xb8-amp-400i_scenes.py",
            "det": "det/extrema_vit-mini-p8_mask-rcnn_1xb8-coslr-120e_scenes.py",
        },
        curves={"loss_byol": "BYOL loss", "loss_infonce": "InfoNCE loss", **SPREADS},
        blocks=("EncoderBlock", "LayerScaleBlockClassAttn"),
        draws_pixels=False,
    ),
}


def method_named(name: str) -> Method:
    """The row of a method.

    Raises:
        MaskSSLError: there is no such method.
    """
    if name not in METHODS:
        raise MaskSSLError(f"there is no method {name!r}; use one of {', '.join(sorted(METHODS))}")
    return METHODS[name]


def block_names() -> frozenset[str]:
    """Class names of the modules, of any method, that sharding gathers one at a time."""
    return frozenset(name for method in METHODS.values() for name in method.blocks)
