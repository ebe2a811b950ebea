"""A whole pretraining, decoder and all, from its checkpoint alone."""

from typing import Any

from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS
from torch import nn

from .. import registration  # noqa: F401  the parts that a config names
from ..checkpoints.reading import checkpoint_at, read_checkpoint
from ..cli.config import dicts_below
from ..cli.pretraining_pictures import load_whole
from ..errors import MaskSSLError
from ..methods import METHODS
from ..models.pretrained.told import saved_model

# what a file may name: the parts of a pretraining that predicts pixels, and nothing else
_PARTS = frozenset(method.algorithm for method in METHODS.values() if method.draws_pixels) | {
    "BootMAEHead",
    "MomentumEncoder",
    "PlainViT",
    "PretrainDataPreprocessor",
    "SelfSupDataPreprocessor",
    "TargetAwareDecoders",
    "bootmae",  # its schedule of momentum
}


def predicts_pixels(path: str) -> bool:
    """Whether a checkpoint is a pretraining's that fills in what it does not see."""
    return _described(path)[0].get("type") in _PARTS


def pixel_model(path: str) -> nn.Module:
    """The model of such a pretraining, by the config that its checkpoint holds, in eval mode.

    Raises:
        MaskSSLError: no such checkpoint, or its config names parts that are not of this package.
    """
    model, weights = _described(path)
    if model.get("type") not in _PARTS:
        raise MaskSSLError(
            f"{path} holds no pretraining that predicts pixels "
            f"({model.get('type', 'no config is saved in it')}); give a checkpoint of BootMAE's "
            "pretraining, with --config CONFIG if it has none"
        )
    strange = {str(part["type"]) for part in dicts_below(model) if "type" in part} - _PARTS
    if strange:
        raise MaskSSLError(
            f"the config in {path} names {', '.join(sorted(strange))}, which a file is not trusted "
            "with; give --config CONFIG"
        )
    init_default_scope("mmpretrain")
    built = MODELS.build(model)
    load_whole(built, weights, path, "the config in it")
    return built.eval()


def _described(path: str) -> tuple[dict[str, Any], dict[str, Any]]:
    content = read_checkpoint(checkpoint_at(path))
    return saved_model(content), content.get("state_dict", {})
