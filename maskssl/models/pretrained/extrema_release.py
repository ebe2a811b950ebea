"""The whole ExtreMA model between maskssl's names and the released ones."""

from collections.abc import Mapping

from torch import Tensor

from ...errors import MaskSSLError
from .naming import Names, inverse, our_name

# encoder and projector have the same names in student and teacher
NAMES: Names = (
    ("base_encoder.head.", "neck.layers."),
    ("base_encoder.blocks_token.", "backbone.class_attention.blocks."),
    ("base_encoder.cls_token", "backbone.class_attention.cls_token"),
    ("base_encoder.", "backbone."),
    ("momentum_encoder.head.", "target_generator.projector.layers."),
    ("momentum_encoder.blocks_token.", "target_generator.encoder.class_attention.blocks."),
    ("momentum_encoder.cls_token", "target_generator.encoder.class_attention.cls_token"),
    ("momentum_encoder.", "target_generator.encoder."),
    ("predictor.", "head.predictor.layers."),
)


def to_released(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """maskssl's ExtreMA weights under the released names.

    Args:
        state_dict: of an ExtreMA model; its preprocessor's constants are left out.

    Returns:
        What the release keeps under 'state_dict', without the 'module.' of DDP.
    """
    released = {our_name(name, inverse(NAMES)): value for name, value in state_dict.items()}
    return {name: value for name, value in released.items() if name not in state_dict}


def from_released(model: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Released weights under maskssl's names, ready for ``ExtreMA.load_state_dict``.

    Args:
        model: the release's 'state_dict', with or without 'module.'.

    Raises:
        MaskSSLError: a tensor that the table does not know.
    """
    theirs = {key.removeprefix("module."): value for key, value in model.items()}
    ours = {our_name(key, NAMES): value for key, value in theirs.items()}
    if strange := theirs.keys() & ours.keys():
        raise MaskSSLError(
            f"{min(strange)} is no tensor of an ExtreMA release; is this another method's file?"
        )
    return ours
