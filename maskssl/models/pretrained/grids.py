"""The grid (h, w) of patches that positions were made for, which no shape tells."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..layers.position import Layout, sincos_position

Grid = tuple[int, int]
LAYOUTS: tuple[Layout, ...] = ("bootmae", "mae")


def told_grid(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> Grid | None:
    """By the image size in a file's config; None without one.

    Args:
        tensors: of the encoder, under PlainViT's names.
        config: of ``told_config``.
    """
    size = (config.get("backbone") or {}).get("img_size")
    patches = tensors.get("patch_embed.proj.weight")
    if size is None or patches is None or patches.ndim != 4:
        return None
    height, width = (size, size) if isinstance(size, int) else size
    return height // patches.shape[-2], width // patches.shape[-1]


def table_grid(
    table: Tensor, num_prefix: int, told: Grid | None, own: Grid | None = None
) -> Grid | None:
    """The grid that a position table was made for; None where that cannot be told.

    144 rows may be 12 x 12, 9 x 16 or 16 x 9. The file's config tells which, and a fixed sin-cos
    table shows it; a trained one without a config is taken for a square, or else for the
    backbone's own.

    Args:
        table: (1, num_prefix + h * w, C).
        num_prefix: rows in front that belong to no patch.
        told: by the file's config.
        own: of the backbone.
    """
    rows = table.shape[1] - num_prefix
    if rows < 1:
        return None
    own = own if own and math.prod(own) == rows else None
    if told and math.prod(told) == rows:
        return told
    shown = _shown_grid(table, num_prefix, own)
    side = math.isqrt(rows)
    return shown or ((side, side) if side * side == rows else own)


def layout_at(table: Tensor, grid: Grid, num_prefix: int) -> Layout | None:
    """Which of the fixed tables of a grid a table is; None for neither."""
    for layout in LAYOUTS:
        fixed = sincos_position(grid, table.shape[-1], layout, num_prefix)
        if torch.allclose(table.float(), fixed, atol=1e-2):  # it may be stored in bf16
            return layout
    return None


def offsets_grid(table: Tensor, told: Grid | None) -> Grid | None:
    """The grid of a table of relative positions: the one that is told, or a square.

    Args:
        table: ((2 h - 1) * (2 w - 1) + 3, heads).
        told: by the file's config.
    """
    offsets = table.shape[0] - 3
    if told and math.prod(2 * side - 1 for side in told) == offsets:
        return told
    side = (math.isqrt(max(0, offsets)) + 1) // 2
    return (side, side) if (2 * side - 1) ** 2 == offsets else None


def _shown_grid(table: Tensor, num_prefix: int, first: Grid | None) -> Grid | None:
    """The grid of a fixed table; ``first`` is tried before all others."""
    start = sincos_position((1, 1), table.shape[-1], num_prefix=num_prefix)
    if not torch.allclose(table[:, : num_prefix + 1].float(), start, atol=1e-2):
        return None  # all fixed tables begin alike, so that most learnt ones need no search
    rows = table.shape[1] - num_prefix
    grids = [(height, rows // height) for height in range(1, rows + 1) if rows % height == 0]
    grids = [first, *grids] if first else grids
    return next((grid for grid in grids if layout_at(table, grid, num_prefix)), None)
