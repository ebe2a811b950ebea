"""Flips and colours of images, drawn one by one and made in batch: Pillow's, bit for bit.

A loader draws what happens to each view of an image, in order, as (change, value); the model's
device makes it, so that workers decode and crop alone. torchvision has these changes for one factor
a batch; here each image has its own.

Shapes: B images, V views of each, L changes of a view, (H, W) pixels; channels are BGR, as loaders
have them.
"""

from collections.abc import Callable
from enum import IntEnum

import torch
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
_AT_ONCE = 64  # images whose hue is turned, in float64


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
    turned = [
        _to_bgr(_hue(part) + step[:, 0].int() & 255, *_saturation_and_value(part))
        for part, step in zip(images.split(_AT_ONCE), steps.split(_AT_ONCE), strict=True)
    ]
    return torch.cat(turned)


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


def _hue(images: Tensor) -> Tensor:
    """(B, H, W) int32, 0 to 255, as Pillow's convert("HSV"); float64 wherever its C has doubles."""
    top, spread = _top_and_spread(images)
    # how far each channel is below the largest one, as a share of the smallest one's distance
    below = (top[:, None] - images) / spread.clamp(min=1)[:, None]
    blue, green, red = below.unbind(1)
    sixths = torch.where(
        red == 0,
        (blue - green).double(),
        torch.where(green == 0, 2 + red.double() - blue, 4 + green.double() - red),
    ).float()
    return (((sixths.double() / 6 + 1) % 1).float().double() * 255).int()


def _saturation_and_value(images: Tensor) -> tuple[Tensor, Tensor]:
    """Likewise."""
    top, spread = _top_and_spread(images)
    return ((spread / top.clamp(min=1)).double() * 255).int(), top.int()


def _top_and_spread(images: Tensor) -> tuple[Tensor, Tensor]:
    top = images.amax(1).float()
    return top, top - images.amin(1)


def _to_bgr(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """(B, 3, H, W) uint8 of three (B, H, W) int32, as Pillow's convert("RGB") of HSV."""
    sixths = hue.double() * 6 / 255
    sector = sixths.int()
    rest = (sixths - sector).float()
    share = (saturation.double() / 255).float()

    def faded(by: Tensor) -> Tensor:
        return (value * (1 - by.double()) + 0.5).to(torch.uint8)

    low, falling, rising = faded(share), faded(share * rest), faded(share * (1 - rest.double()))
    high = value.to(torch.uint8)

    def channel(turned: int) -> Tensor:
        place = (sector + turned) % 6  # red is highest around 0
        found = torch.where((place == 2) | (place == 3), low, high)
        return torch.where(place == 1, falling, torch.where(place == 4, rising, found))

    return torch.stack([channel(2), channel(4), channel(0)], dim=1)
