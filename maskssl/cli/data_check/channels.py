"""Channels: what files have, what loading gives, and what the model takes."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import Config

from ...datasets.checks.errors import DataError
from ...datasets.checks.pictures import Picture
from .nodes import Node

CHANNELS = 3  # the only number that every stage was tried with


def check_channels(cfg: Config, nodes: Sequence[Node]) -> None:
    """Refuse models and pipelines of another number of channels than three.

    Raises:
        DataError: names the setting.
    """
    model: Mapping[str, Any] = cfg.get("model") or {}
    taken = (model.get("backbone") or {}).get("in_channels", CHANNELS)
    if taken != CHANNELS:
        raise DataError(
            f"model.backbone.in_channels={taken}: pictures are loaded, augmented and normalised in "
            f"{CHANNELS} channels; set it to {CHANNELS}, and write pictures of {CHANNELS} channels"
        )
    for name in ("mean", "std"):
        values = (model.get("data_preprocessor") or {}).get(name)
        if values is not None and len(values) != CHANNELS:
            raise DataError(
                f"model.data_preprocessor.{name} has {len(values)} values; give one for each of "
                f"{CHANNELS} channels"
            )
    for node in nodes:
        colours = node.transform_setting("LoadImageFromFile", "color_type", "color")
        if not str(colours).startswith("color"):
            raise DataError(
                f"{node.loader}: LoadImage has color_type={colours!r}, which leaves pictures in "
                f"the channels that they have, or in one, and models take {CHANNELS}; use 'color' "
                "or 'color_ignore_orientation', which make three of one"
            )


def alpha_notes(pictures: Sequence[Picture]) -> list[str]:
    """What loading drops: the alpha channel."""
    clear = [picture for picture in pictures if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa")]
    if not clear:
        return []
    return [
        f"{len(clear)} of {len(pictures)} pictures looked at have an alpha channel, e.g. "
        f"{clear[0].path}; loading drops it, and what is transparent shows its hidden colour."
    ]
