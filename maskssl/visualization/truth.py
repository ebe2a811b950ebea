"""Pictures with their truth on them, tiled into a contact sheet."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

_TILE = 200  # pixels of a picture's longer side
_CAPTION = 16
_COLUMNS = 4
_IGNORED = 255


@dataclass
class Drawn:
    """A picture and what is known of it.

    Attributes:
        pixels: (H, W, 3) RGB uint8.
        caption: below it.
        labels: (H, W), 255 where there is none.
        boxes: (K, 4) x1, y1, x2, y2 in pixels.
        hidden: (h, w) patches that are masked, True where they are.
    """

    pixels: NDArray[np.uint8]
    caption: str = ""
    labels: NDArray[np.integer] | None = None
    boxes: NDArray[np.floating] | None = None
    hidden: NDArray[np.bool_] | None = None


def colour_of(label: int) -> tuple[int, int, int]:
    """A colour of its own for each label."""
    red, green, blue = ((label * step + 60) % 256 for step in (97, 157, 211))
    return red, green, blue


def draw(drawn: Drawn) -> Image.Image:
    """A picture with masks, boxes, hidden patches and its caption, ``_TILE`` wide or high."""
    pixels = drawn.pixels.astype(np.float32)
    if drawn.hidden is not None:
        size = pixels.shape[1], pixels.shape[0]
        hidden = Image.fromarray(drawn.hidden).resize(size, Image.Resampling.NEAREST)
        pixels[np.asarray(hidden)] *= 0.35
    if drawn.labels is not None:
        for label in np.unique(drawn.labels):
            if label != _IGNORED:
                place = drawn.labels == label
                pixels[place] = 0.55 * pixels[place] + 0.45 * np.array(colour_of(int(label)))
    image = Image.fromarray(pixels.astype(np.uint8))
    scale = _TILE / max(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)))
    pen = ImageDraw.Draw(image)
    for box in () if drawn.boxes is None else drawn.boxes * scale:
        pen.rectangle(box.tolist(), outline=(255, 255, 0))
    tile = Image.new("RGB", (_TILE, _TILE + _CAPTION), "white")
    tile.paste(image, (0, 0))
    ImageDraw.Draw(tile).text((2, _TILE + 2), drawn.caption, fill="black")
    return tile


def tile_drawn(pictures: Sequence[Drawn]) -> Image.Image:
    """A sheet of pictures, four beside each other."""
    rows = -(-len(pictures) // _COLUMNS)
    sheet = Image.new("RGB", (_COLUMNS * (_TILE + 4), rows * (_TILE + _CAPTION + 4)), "grey")
    for number, picture in enumerate(pictures):
        row, column = divmod(number, _COLUMNS)
        sheet.paste(draw(picture), (column * (_TILE + 4), row * (_TILE + _CAPTION + 4)))
    return sheet
