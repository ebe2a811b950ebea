"""Flips and colours of images, drawn one by one and made in batch: Pillow's, bit for bit.

A loader draws what happens to each view of an image, in order, as (change, value); the model's
device makes it, so that workers decode and crop alone. torchvision has these changes for one factor
a batch; here each image has its own.

Shapes: B images, V views of each, L changes of a view, (H, W) pixels; channels are BGR, as loaders
have them.
"""

from collections.abc import Callable
from enum import IntEnum
from functools import lru_cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor


class Change(IntEnum):
    """What happens to an image; the value of each is said behind it."""

    NOTHING = 0
    FLIP = 1  # left and right
    GREY = 2
    BRIGHTNESS = 3  # factor; these four in the order that torchvision's ColorJitter counts them
    CONTRAST = 4  # factor
    SATURATION = 5  # factor
    HUE = 6  # steps of 1 / 256 of the circle, 0 to 255


Drawn = tuple[Change, float]
NOTHING: Drawn = (Change.NOTHING, 0.0)


def changed_views(images: Tensor, drawn: Tensor) -> Tensor | list[Tensor]:
    """Make the views of a batch.

    Args:
        images: (B, 3, H, W) uint8 on any device.
        drawn: (B, L, 2) change and value, or (B, V, L, 2); on the host, so that no device is
            waited for.

    Returns:
        Of the first form images (B, 3, H, W) uint8, of the second a list of V such views.
    """
    several = drawn.ndim == 4
    plans = drawn.transpose(0, 1).flatten(0, 1) if several else drawn  # (B, V, ...) -> (V * B, ...)
    made = images.repeat(len(plans) // len(images), 1, 1, 1)
    for column in plans.unbind(1):  # (V * B, 2)
        for change in column[:, 0].unique().tolist():
            if change == Change.NOTHING:
                continue
            chosen = (column[:, 0] == change).nonzero()[:, 0]
            values = column[chosen, 1].to(images.device, non_blocking=True).view(-1, 1, 1, 1)
            chosen = chosen.to(images.device, non_blocking=True)
            made.index_copy_(0, chosen, _CHANGES[Change(int(change))](made[chosen], values))
    return list(made.chunk(drawn.shape[1])) if several else made


def _flipped(images: Tensor, values: Tensor) -> Tensor:
    return images.flip(-1)


def _grey(images: Tensor, values: Tensor) -> Tensor:
    return _luma(images).to(torch.uint8).expand(-1, 3, -1, -1)


def _brighter(images: Tensor, factors: Tensor) -> Tensor:
    return _blended(torch.zeros_like(images[:1]), images, factors)


def _contrasted(images: Tensor, factors: Tensor) -> Tensor:
    luma = _luma(images).flatten(1)  # (B, H * W)
    pixels = luma.shape[1]
    mean = (2 * luma.sum(1) + pixels) // (2 * pixels)  # halves go up
    return _blended(mean.view(-1, 1, 1, 1), images, factors)


def _saturated(images: Tensor, factors: Tensor) -> Tensor:
    return _blended(_luma(images), images, factors)


def _turned_hue(images: Tensor, steps: Tensor) -> Tensor:
    to_hsv, to_rgb = _colour_tables(images.device)
    blue, green, red = images.int().unbind(1)
    rgb = red << 16 | green << 8 | blue  # (B, H, W)
    hsv = to_hsv.index_select(0, rgb.flatten()).view_as(rgb)
    hsv = hsv + (steps[:, 0].int() << 16) & 0xFFFFFF  # the hue, on top, goes round
    rgb = to_rgb.index_select(0, hsv.flatten()).view_as(hsv)
    return torch.stack([rgb & 255, rgb >> 8 & 255, rgb >> 16], dim=1).to(torch.uint8)


_CHANGES: dict[Change, Callable[[Tensor, Tensor], Tensor]] = {
    Change.FLIP: _flipped,
    Change.GREY: _grey,
    Change.BRIGHTNESS: _brighter,
    Change.CONTRAST: _contrasted,
    Change.SATURATION: _saturated,
    Change.HUE: _turned_hue,
}


def _luma(images: Tensor) -> Tensor:
    """(B, 1, H, W) int32: 0.299 R + 0.587 G + 0.114 B in 16 bits, as Pillow's convert("L")."""
    blue, green, red = images.int().split(1, dim=1)
    return (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16


def _blended(origin: Tensor, images: Tensor, factors: Tensor) -> Tensor:
    """Pillow's Image.blend: float32, cut off at the ends, and not rounded."""
    start = origin.float()
    return (start + factors * (images - start)).clamp(0, 255).to(torch.uint8)


@lru_cache
def _colour_tables(device: torch.device) -> tuple[Tensor, Tensor]:
    """Pillow's RGB -> HSV and back for each of 2**24 colours, packed in an int32; 64 MiB each."""
    colours = np.arange(1 << 24, dtype=">u4").view(np.uint8).reshape(4096, 4096, 4)[..., 1:]

    def table(start: str, end: str) -> Tensor:
        found = Image.frombytes(start, (4096, 4096), colours.tobytes()).convert(end)
        first, second, third = torch.from_numpy(np.array(found)).view(-1, 3).int().unbind(1)
        return (first << 16 | second << 8 | third).to(device)

    return table("RGB", "HSV"), table("HSV", "RGB")
