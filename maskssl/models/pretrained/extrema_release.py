"""The whole ExtreMA model between maskssl's names and the released ones."""

import re
from collections.abc import Mapping

from torch import Tensor

from ...errors import MaskSSLError

# released -> ours; encoder and projector have the same names in student and teacher
_PREFIXES = (
    (r"base_encoder\.head\.", "neck.layers."),
    (r"base_encoder\.blocks_token\.", "backbone.class_attention.blocks."),
    (r"base_encoder\.cls_token$", "backbone.class_attention.cls_token"),
    (r"base_encoder\.", "backbone."),
    (r"momentum_encoder\.head\.", "target_generator.projector.layers."),
    (r"momentum_encoder\.blocks_token\.", "target_generator.encoder.class_attention.blocks."),
    (r"momentum_encoder\.cls_token$", "target_generator.encoder.class_attention.cls_token"),
    (r"momentum_encoder\.", "target_generator.encoder."),
    (r"predictor\.", "head.predictor.layers."),
)


def to_released(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """maskssl's ExtreMA weights under the released names.

    Args:
        state_dict: of an ExtreMA model; its preprocessor's constants are left out.

    Returns:
        What the release keeps under 'state_dict', without the 'module.' of DDP.
    """
    released: dict[str, Tensor] = {}
    for name, value in state_dict.items():
        for theirs, ours in _PREFIXES:
            if name.startswith(ours):
                prefix = theirs.replace("\\", "").removesuffix("$")
                released[prefix + name[len(ours) :]] = value
                break
    return released


def from_released(model: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Released weights under maskssl's names, ready for ``ExtreMA.load_state_dict``.

    Args:
        model: the release's 'state_dict', with or without 'module.'.

    Raises:
        MaskSSLError: a tensor that the table does not know.
    """
    return {_our_name(key.removeprefix("module.")): value for key, value in model.items()}


def _our_name(key: str) -> str:
    for theirs, ours in _PREFIXES:
        match = re.match(theirs, key)
        if match:
            return ours + key[match.end() :]
    raise MaskSSLError(f"{key} is no tensor of an ExtreMA release; is this another method's file?")
