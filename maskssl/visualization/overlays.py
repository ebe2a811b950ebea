"""Objects and label maps drawn onto their pictures, in colours that stand out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

COLOURS = (
    (255, 59, 48),
    (52, 220, 80),
    (40, 120, 255),
    (255, 214, 10),
    (255, 70, 230),
    (50, 225, 240),
    (255, 140, 0),
    (255, 255, 255),
)
IGNORED = 255  # no label, in label maps
_GROUND = 0.35  # brightness that is left to the picture below
_FILL = 0.7  # share of the colour inside a region


@dataclass
class Marks:
    """What is drawn onto a picture, the farthest first.

    Attributes:
        masks: (K, H, W) bool, a region each.
        labels: (K,) class; it chooses the colour.
        boxes: (K, 4) x1, y1, x2, y2 in pixels; None draws regions alone.
        captions: K words; none where there are fewer.
    """

    masks: NDArray[np.bool_]
    labels: NDArray[np.integer]
    boxes: NDArray[Any] | None = None
    captions: Sequence[str] = ()


def marks_of_map(labels: NDArray[np.integer], names: Sequence[str]) -> Marks:
    """The regions of an (H, W) label map, without what is called background or has no label."""
    present = [
        label
        for label in np.unique(labels).tolist()
        if label != IGNORED and names[label] != "background"
    ]
    masks = np.array([labels == label for label in present], bool).reshape(-1, *labels.shape)
    return Marks(masks, np.array(present, int), captions=[names[label] for label in present])


def overlay(
    pixels: NDArray[np.uint8],
    marks: Marks,
    width: int = 288,
    ground: float = _GROUND,
    fill: float = _FILL,
) -> Image.Image:
    """Draw regions, their contours, boxes and names over a dimmed picture.

    Args:
        pixels: (H, W, 3) RGB.
        marks: what to draw.
        width: of the result in pixels.
        ground: brightness that is left to the picture; 1 dims nothing.
        fill: share of the colour inside a region.
    """
    scale = width / pixels.shape[1]
    size = width, round(pixels.shape[0] * scale)
    picture = Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)
    shown = Image.blend(Image.new("RGB", size), picture, ground)
    colours = [COLOURS[int(label) % len(COLOURS)] for label in marks.labels]
    for mask, colour in zip(marks.masks, colours, strict=True):
        smooth = Image.fromarray(np.asarray(mask, bool)).convert("L").resize(size)
        region = smooth.point(lambda cover: 255 if cover > 127 else 0)
        shown.paste(Image.blend(shown, Image.new("RGB", size, colour), fill), mask=region)
        inner = region.filter(ImageFilter.MinFilter(5))
        shown.paste(colour, mask=Image.fromarray(np.asarray(region) & ~np.asarray(inner)))
    pen = ImageDraw.Draw(shown)
    boxes = _boxes_around(marks.masks) if marks.boxes is None else marks.boxes
    for index, (box, colour) in enumerate(zip(boxes * scale, colours, strict=True)):
        if marks.boxes is not None:
            pen.rectangle(box.tolist(), outline=colour, width=2)
        if index < len(marks.captions):
            x, y = box[:2].clip(0, None) + 3
            pen.text((x, y), marks.captions[index], "white", stroke_width=2, stroke_fill="black")
    return shown


def _boxes_around(masks: NDArray[np.bool_]) -> NDArray[np.floating]:
    """(K, 4) x1, y1, x2, y2 around (K, H, W) regions that are not empty."""
    edges = [
        [where.min() for where in np.nonzero(mask)][::-1]
        + [where.max() + 1 for where in np.nonzero(mask)][::-1]
        for mask in masks
    ]
    return np.array(edges, float).reshape(-1, 4)
