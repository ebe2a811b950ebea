"""The paint of the drawn scenes: palettes, textures, and a canvas that takes regions.

Textures have few flat tones with hard edges, a few patches wide. A masked patch of such a
picture can be told from its neighbours; noise and soft shading cannot, and a target that
standardises every patch would blow them up to full contrast.
"""

import colorsys
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

_EYE_WEIGHTS = np.array([0.30, 0.59, 0.11])  # of red, green and blue in brightness (Rec. 601)

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Bools = NDArray[np.bool_]
Texture = Callable[[int, Generator], Floats]


def tight_box(mask: Bools) -> list[int]:
    """x, y, width, height around the True pixels of (H, W)."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return [cols[0], rows[0], cols[-1] - cols[0] + 1, rows[-1] - rows[0] + 1]


class Painter:
    """A canvas that starts as a textured ground and takes one textured region after another."""

    def __init__(self, size: int, rng: Generator) -> None:
        self.size = size
        self.rng = rng
        self.palettes = [_draw_palette(rng)]
        ground = GROUNDS[rng.integers(len(GROUNDS))]
        self.canvas = self._texture((slice(size), slice(size)), ground)

    def _texture(self, window: tuple[slice, slice], texture: Texture) -> Floats:
        """Colours of a texture in the latest palette: (H, W, 3), cut to a window."""
        first, second = self.palettes[-1]
        field = texture(self.size, self.rng)[window]
        return first + field[:, :, None].astype(np.float32) * (second - first)

    def paint(self, cover: Bytes, texture: Texture) -> None:
        """Paint a region, given by its (H, W) coverage, in colours that stand out."""
        self.palettes.append(_contrasting_palette(self.palettes, self.rng))
        left, top, width, height = tight_box(cover > 0)
        window = (slice(top, top + height), slice(left, left + width))
        alpha = cover[window][:, :, None].astype(np.float32) / 255
        self.canvas[window] += alpha * (self._texture(window, texture) - self.canvas[window])

    def finish(self) -> Bytes:
        """The picture as (H, W, 3) uint8."""
        return np.asarray(np.clip(self.canvas, 0, 1) * 255 + 0.5, dtype=np.uint8)


def _draw_palette(rng: Generator) -> Floats:
    """Two related colours, (2, 3), between which a texture runs: any hue, from pale to full."""
    hue, saturation, value = rng.random(), rng.uniform(0.1, 0.7), rng.uniform(0.6, 1.0)
    other = (hue + rng.uniform(-0.1, 0.1), saturation * rng.uniform(0.5, 1.0))
    darker = value * rng.uniform(0.1, 0.35)
    pair = [colorsys.hsv_to_rgb(hue, saturation, value), colorsys.hsv_to_rgb(*other, darker)]
    return np.array(pair, dtype=np.float32)


def _contrasting_palette(taken: Sequence[Floats], rng: Generator) -> Floats:
    """A palette well away from those already in the picture, or the farthest of 16."""
    others = np.concatenate(taken)
    best, best_gap = others, -1.0
    for _ in range(16):
        palette = _draw_palette(rng)
        gap = (np.abs(palette[:, None] - others) @ _EYE_WEIGHTS).min()
        if gap > best_gap:
            best, best_gap = palette, gap
        if gap > 0.25:
            break
    return best


@lru_cache(maxsize=8)
def _coordinates(size: int) -> tuple[Floats, Floats]:
    """(1, W) x and (H, 1) y from -0.5 to 0.5."""
    line = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size)
    return line[None, :] - np.float32(0.5), line[:, None] - np.float32(0.5)


def _plain(size: int, rng: Generator) -> Floats:
    return np.zeros((size, size), np.float32)


def _blobs(size: int, rng: Generator) -> Floats:
    cells = rng.integers(3, 6)
    grid = Image.fromarray(rng.random((cells, cells), np.float32))
    field = np.asarray(grid.resize((size, size), Image.Resampling.BICUBIC))
    return (field > 0.5).astype(np.float32)


def _bands(size: int, rng: Generator) -> Floats:
    x, y = _coordinates(size)
    centre = rng.uniform(-1, 1, 2).astype(np.float32)
    distance = np.sqrt(np.square(x - centre[0]) + np.square(y - centre[1]))
    steps = rng.integers(3, 6)
    return np.floor(distance / distance.max() * steps).astype(np.float32) / np.float32(steps)


def _mosaic(size: int, rng: Generator) -> Floats:
    x, y = _coordinates(size)
    seeds = rng.uniform(-0.5, 0.5, (rng.integers(6, 16), 2, 1, 1)).astype(np.float32)
    nearest = (np.square(x - seeds[:, 0]) + np.square(y - seeds[:, 1])).argmin(axis=0)
    return rng.random(len(seeds), np.float32)[nearest]


# One tile for each class, in the order of SHAPES: what its objects wear.
_TILES = (
    "######## ######## ######## ######## ######## ######## ######## ########",
    "####.... ####.... ####.... ####.... ####.... ####.... ####.... ####....",
    "####.... ####.... ####.... ####.... ....#### ....#### ....#### ....####",
    "........ ..####.. .######. .######. .######. .######. ..####.. ........",
    "######## ######## ##...... ##...... ##...... ##...... ##...... ##......",
    "###..... .###.... ..###... ...###.. ....###. .....### #.....## ##.....#",
    "######## ..##.... ..##.... ..##.... ######## ......## ......## ......##",
    "##.##... ##.##... ##.##... ##.##... ##.##... ##.##... ##.##... ##.##...",
)


def _tiled(tile: str) -> Texture:
    """A texture that repeats a tile from the picture's corner on.

    A tile has the size of the small models' patches, so patches inside an object are alike: what
    a hidden one holds can be told from its neighbours, within the steps of a short run.
    """
    marks = np.array([[mark == "#" for mark in row] for row in tile.split()], np.float32)

    def draw(size: int, rng: Generator) -> Floats:
        repeats = -(-size // len(marks))
        return np.tile(marks, (repeats, repeats))[:size, :size]

    return draw


# Grounds and what covers objects. Plain ground comes thrice: where texture is everywhere,
# contours drown in it.
GROUNDS: tuple[Texture, ...] = (_plain, _plain, _plain, _blobs, _bands, _mosaic)
PATTERNS: tuple[Texture, ...] = tuple(_tiled(tile) for tile in _TILES)
