"""Channels: what files have, what loading gives, and what the model takes."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import Config

from ...datasets.checks.errors import DataError
from ...datasets.checks.pictures import Picture, check_depth, range_notes
from .nodes import LOAD_CHANNELS, Node

REMEDY = "--channels N sets them all"

CHANNELS = 3  # of LoadImage, whatever the file has


def check_channels(cfg: Config, nodes: Sequence[Node]) -> None:
    """Refuse models, preprocessors and pipelines that speak of different channels.

    Raises:
        DataError: names the setting.
    """
    model: Mapping[str, Any] = cfg.get("model") or {}
    model = model.get("module") or model  # inside the wrapper of a test over scales
    taken = (model.get("backbone") or {}).get("in_channels", CHANNELS)
    for node in nodes:
        step = node.transform(LOAD_CHANNELS)
        loaded = step["channels"] if step else CHANNELS
        colours = node.transform_setting("LoadImageFromFile", "color_type", "color")
        if not step and not str(colours).startswith("color"):
            raise DataError(
                f"{node.loader}: LoadImage has color_type={colours!r}, which leaves pictures in "
                f"the channels that they have, or in one; use 'color' or "
                f"'color_ignore_orientation', which make {CHANNELS} of one; {REMEDY}"
            )
        if loaded != taken:
            raise DataError(
                f"{node.loader}: pictures are loaded in {loaded} channels, and "
                f"model.backbone.in_channels={taken}; {REMEDY}"
            )
    for name in ("mean", "std"):
        values = (model.get("data_preprocessor") or {}).get(name)
        if values is not None and len(values) not in (1, taken):
            raise DataError(
                f"model.data_preprocessor.{name} has {len(values)} values, and the model takes "
                f"{taken} channels; {REMEDY}"
            )


def depth_notes(node: Node, pictures: Sequence[Picture]) -> list[str]:
    """Refuse depths that loading would cut; notes on what it drops or scales.

    Raises:
        DataError: more than 8 bits, loaded as 8.
    """
    step = node.transform(LOAD_CHANNELS)
    if step:
        return range_notes(pictures, step.get("high", 255.0))
    check_depth(pictures)
    return _alpha_notes(pictures)


def _alpha_notes(pictures: Sequence[Picture]) -> list[str]:
    """What loading drops: the alpha channel."""
    clear = [picture for picture in pictures if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa")]
    if not clear:
        return []
    return [
        f"{len(clear)} of {len(pictures)} pictures looked at have an alpha channel, e.g. "
        f"{clear[0].path}; loading drops it, and what is transparent shows its hidden "
        "colour; --channels 4 keeps it."
    ]
