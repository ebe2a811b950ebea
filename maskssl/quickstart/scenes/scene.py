"""Scenes that the project draws itself: textured shapes on textured grounds, with their truth.

The class of an object is its silhouette, and as a rule the pattern that it wears. Colours come
from the same source for every class and for the background, so they tell none: a model has to
represent pattern and shape. A scene is a pure function of (seed, split, index, size); it depends
on no other scene, on no count and on no worker.

Shapes: H = W = size pixels, K objects. Colours are RGB in 0..1 while a scene is painted.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ...errors import MaskSSLError
from .painting import GROUNDS, PATTERNS, Bools, Bytes, Painter, Texture, tight_box

SHAPES = ("disc", "square", "triangle", "star", "cross", "ring", "crescent", "heart")
SPLITS = ("train", "val")

# Least that stays visible of an object in a dense scene: both limits hold.
MIN_VISIBLE_SHARE = 0.25
MIN_VISIBLE_PIXELS = 60
# Smallest sides: below them shapes blur into each other.
MIN_OBJECT_SIZE = 32
MIN_DENSE_SIZE = 48

OWN_PATTERN = 0.8  # share of the objects that wear the pattern of their class

_SUPERSAMPLING = 3
_SMALLEST_EXTENT = 20  # pixels; the thinnest crescent of this extent exceeds MIN_VISIBLE_PIXELS
_PLACING_TRIES = 30

Outlines = list[NDArray[np.float64]]  # (P, 2) points each: the outline, then its holes


@dataclass(frozen=True)
class Scene:
    """A picture and what is in it, the farthest object first.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        labels: (K,) int64 index into SHAPES.
        masks: (K, H, W) bool, the visible region of each object; no two overlap.
        areas: (K,) area of each object in pixels if nothing covered or cut it.
    """

    image: Bytes
    labels: NDArray[np.int64]
    masks: Bools
    areas: NDArray[np.float64]

    @property
    def label_map(self) -> Bytes:
        """(H, W) uint8: 0 is background, class c is c + 1."""
        ids = (self.labels + 1)[:, None, None] * self.masks
        return np.asarray(ids.sum(axis=0), dtype=np.uint8)

    @property
    def boxes(self) -> NDArray[np.int64]:
        """(K, 4) x, y, width, height in pixels, tight around the visible regions."""
        return np.array([tight_box(mask) for mask in self.masks], np.int64).reshape(-1, 4)


def object_scene(seed: int, split: str, index: int, size: int = 48) -> Scene:
    """Draw one object for classification; its class is ``index % 8``.

    Its extent is 65 to 95 % of the side, inside the frame. Before every third object or so lies
    an occluder of no class (a bar or a blob) that hides 10 to 35 % of it.

    Args:
        seed: seed of the data set.
        split: one of SPLITS.
        index: number of the scene in its split, from 0.
        size: side in pixels.

    Raises:
        MaskSSLError: an argument is out of range.
    """
    rng = _scene_generator(seed, split, index, size, MIN_OBJECT_SIZE, stream=0)
    label = index % len(SHAPES)
    painter = Painter(size, rng)
    outlines = place(shape_outlines(SHAPES[label], rng), rng.uniform(0.65, 0.95) * size, size, rng)
    cover = coverage(outlines, size)
    painter.paint(cover, _pattern_of(label, rng))
    mask = cover >= 128
    if rng.random() < 0.3:
        occluder = _draw_occluder(mask, size, rng)
        if occluder is not None:
            painter.paint(occluder, GROUNDS[rng.integers(len(GROUNDS))])
            mask &= occluder < 128
    return Scene(
        painter.finish(), np.array([label]), mask[None], np.array([outline_area(outlines)])
    )


def dense_scene(seed: int, split: str, index: int, size: int = 64) -> Scene:
    """Draw one to three objects for segmentation and detection; later ones cover earlier ones.

    A place that would leave any object less visible than MIN_VISIBLE_SHARE and
    MIN_VISIBLE_PIXELS is given up and drawn anew, so every object in the picture counts. An
    object for which no place is found in 30 tries is left out.

    Args:
        seed: seed of the data set.
        split: one of SPLITS.
        index: number of the scene in its split, from 0.
        size: side in pixels.

    Raises:
        MaskSSLError: an argument is out of range.
    """
    rng = _scene_generator(seed, split, index, size, MIN_DENSE_SIZE, stream=1)
    painter = Painter(size, rng)
    labels: list[int] = []
    masks = np.zeros((0, size, size), bool)
    areas = np.zeros(0)
    for _ in range(rng.integers(1, 4)):
        label = int(rng.integers(len(SHAPES)))
        for _ in range(_PLACING_TRIES):
            extent = max(_SMALLEST_EXTENT, rng.uniform(0.42, 0.66) * size)
            outlines = place(shape_outlines(SHAPES[label], rng), extent, size, rng, overhang=0.2)
            cover = coverage(outlines, size)
            mask = cover >= 128
            new_masks = np.concatenate([masks & ~mask, mask[None]])
            new_areas = np.append(areas, outline_area(outlines))
            if visible_enough(new_masks, new_areas).all():
                labels, masks, areas = [*labels, label], new_masks, new_areas
                painter.paint(cover, _pattern_of(label, rng))
                break
    return Scene(painter.finish(), np.array(labels), masks, areas)


def _pattern_of(label: int, rng: Generator) -> Texture:
    """What an object wears: as a rule the pattern of its class, else any."""
    own = rng.random() < OWN_PATTERN
    return PATTERNS[label if own else rng.integers(len(PATTERNS))]


def visible_enough(masks: Bools, areas: NDArray[np.float64]) -> Bools:
    """Whether enough of each object is seen: (K, H, W) visible regions, (K,) whole areas."""
    visible = masks.sum(axis=(1, 2))
    return (visible >= MIN_VISIBLE_PIXELS) & (visible >= MIN_VISIBLE_SHARE * areas)


def _scene_generator(
    seed: int, split: str, index: int, size: int, min_size: int, stream: int
) -> Generator:
    """Check a scene's address and turn it into its own source of randomness."""
    if split not in SPLITS:
        raise MaskSSLError(f"split={split!r} does not exist; use one of {SPLITS}")
    if seed < 0 or index < 0:
        raise MaskSSLError(f"seed={seed} and index={index} must not be negative")
    if size < min_size:
        raise MaskSSLError(f"shapes cannot be told apart at {size} pixels; use at least {min_size}")
    return np.random.default_rng([seed, stream, SPLITS.index(split), index])


# Silhouettes


def shape_outlines(shape: str, rng: Generator) -> Outlines:
    """Outline of a class around the origin, about 2 units wide, with its proportions varied.

    Args:
        shape: one of SHAPES.
        rng: source of the variation inside the class.

    Returns:
        (P, 2) points of the outline, followed by those of its holes.
    """
    if shape == "disc":
        return [_arc(1, 0, 2 * np.pi)]
    if shape == "square":
        return [_polar(np.ones(4))]
    if shape == "triangle":
        return [_polar(np.ones(3))]
    if shape == "star":
        return [_polar(np.tile([1, rng.uniform(0.38, 0.50)], 5))]
    if shape == "cross":
        arm = rng.uniform(0.24, 0.34)
        quarter = np.array([[1, -arm], [1, arm], [arm, arm]])
        return [np.concatenate([_turned(quarter, degrees) for degrees in (0, 90, 180, 270)])]
    if shape == "ring":
        return [_arc(1, 0, 2 * np.pi), _arc(rng.uniform(0.50, 0.66), 0, 2 * np.pi)]
    if shape == "crescent":
        return [_crescent(inner=rng.uniform(0.75, 0.90), shift=rng.uniform(0.45, 0.60))]
    if shape == "heart":
        t = np.linspace(0, 2 * np.pi, 64, endpoint=False)
        x = 16 * np.sin(t) ** 3
        y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
        return [np.stack([x, y], axis=1) / 16]
    raise MaskSSLError(f"shape={shape!r} cannot be drawn; use one of {SHAPES}")


def _arc(radius: float, start: float, stop: float, points: int = 48) -> NDArray[np.float64]:
    """(points, 2) points on a circle around the origin, angles in radians."""
    angles = np.linspace(start, stop, points)
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _polar(radii: NDArray[np.float64]) -> NDArray[np.float64]:
    """(P, 2) points at equal angles and the given (P,) distances from the origin."""
    angles = np.arange(len(radii)) * (2 * np.pi / len(radii))
    return radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _turned(points: NDArray[np.float64], degrees: float) -> NDArray[np.float64]:
    """(P, 2) points rotated around the origin."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    x, y = points.T
    return np.stack([cos * x - sin * y, sin * x + cos * y], axis=1)


def _crescent(inner: float, shift: float) -> NDArray[np.float64]:
    """The unit disc without a disc of radius ``inner`` around (shift, 0)."""
    x = (shift**2 + 1 - inner**2) / (2 * shift)  # where the two circles meet
    y = np.sqrt(1 - x**2)
    outer_angle, inner_angle = np.arctan2(y, x), np.arctan2(y, x - shift)
    back = _arc(inner, 2 * np.pi - inner_angle, inner_angle) + [shift, 0]
    return np.concatenate([_arc(1, outer_angle, 2 * np.pi - outer_angle), back])


def place(
    outlines: Outlines, extent: float, size: int, rng: Generator, overhang: float = 0.0
) -> Outlines:
    """Squeeze, turn, scale and move an outline into the frame.

    Args:
        outlines: outline and holes in any unit.
        extent: longer side of the box around the result, in pixels.
        size: side of the frame in pixels.
        rng: source of the pose; the angle is uniform over the full circle.
        overhang: share of the box that may lie outside the frame on a side.

    Returns:
        The outlines in pixels.
    """
    squeeze = np.array([rng.uniform(0.78, 1.0), 1.0])
    first, second = rng.uniform(0, 360, 2)
    posed = [_turned(_turned(points, first) * squeeze, second) for points in outlines]
    low, high = posed[0].min(axis=0), posed[0].max(axis=0)
    scale = extent / (high - low).max()
    box = (high - low) * scale
    corner = rng.uniform(-overhang * box, size - box + overhang * box)
    return [(points - low) * scale + corner for points in posed]


def outline_area(outlines: Outlines) -> float:
    """Area inside an outline and outside its holes (shoelace formula), in its own unit."""
    x_y = [(points[:, 0], points[:, 1]) for points in outlines]
    areas = [abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) / 2 for x, y in x_y]
    return float(areas[0] - sum(areas[1:]))


def coverage(outlines: Outlines, size: int) -> Bytes:
    """(H, W) uint8: how much of each pixel an outline in pixels covers, 255 is all of it."""
    side = size * _SUPERSAMPLING
    canvas = Image.new("L", (side, side))
    draw = ImageDraw.Draw(canvas)
    for number, points in enumerate(outlines):
        corners = (points * _SUPERSAMPLING - 0.5).ravel().tolist()
        draw.polygon(corners, fill=255 if number == 0 else 0)
    return np.asarray(canvas.reduce(_SUPERSAMPLING))


def _draw_occluder(mask: Bools, size: int, rng: Generator) -> Bytes | None:
    """Coverage of a bar or blob that hides 10 to 35 % of a region; None if none was found."""
    rows, cols = np.nonzero(mask)
    for _ in range(_PLACING_TRIES):
        anchor = rng.integers(len(rows))
        centre = np.array([cols[anchor], rows[anchor]])
        if rng.random() < 0.5:
            half = np.array([1.5, rng.uniform(0.03, 0.09)]) * size
            points = half * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        else:
            points = _blob(rng) * rng.uniform(0.10, 0.20) * size
        cover = coverage([_turned(points, rng.uniform(0, 360)) + centre], size)
        if 0.10 <= (mask & (cover >= 128)).sum() / mask.sum() <= 0.35:
            return cover
    return None


def _blob(rng: Generator) -> NDArray[np.float64]:
    """A closed wavy outline around the origin, about 2 units wide: none of the classes."""
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    radii = np.ones(48)
    for lobes in (3, 4, 5):  # two lobes would look like a heart
        radii += rng.uniform(0.08, 0.18) * np.sin(lobes * angles + rng.uniform(0, 2 * np.pi))
    return _polar(radii)
