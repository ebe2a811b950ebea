"""Position tables: the fixed 2-D sin-cos ones, and fitting a table to another grid."""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import MaskSSLError

Layout = Literal["bootmae", "mae"]
Resize = Literal["bicubic", "antialiased", "offset"]
RESIZES = get_args(Resize)
TEMPERATURE = 10000.0  # longest wave length of a sin-cos table / 2 pi
OFFSET = 0.1  # vision_transformer.py of DINO and DINOv2, against rounding, and in the kernel too


def sincos_position(
    grid: tuple[int, int],
    dim: int,
    layout: Layout = "bootmae",
    num_prefix: int = 0,
) -> Tensor:
    """Fixed 2-D sin-cos table in patch order (row by row), for any grid.

    Args:
        grid: (h, w) patches.
        dim: C, divisible by 4.
        layout: what the first half of the channels encodes: the row ('bootmae',
            modeling_pretrain_bootmae.py) or the column ('mae', also ExtreMA). On a
            square grid one is the transpose of the other.
        num_prefix: rows of zeros in front (1 for a cls token).

    Returns:
        (1, num_prefix + h * w, C) float32.

    Raises:
        MaskSSLError: ``dim`` or ``layout`` cannot be used.
    """
    if dim % 4:
        raise MaskSSLError(f"sin-cos position tables need a width divisible by 4, got {dim}")
    if layout not in ("bootmae", "mae"):
        raise MaskSSLError(f"pos_embed_layout={layout!r} is unknown; use 'bootmae' or 'mae'")
    omega = TEMPERATURE ** -(torch.arange(dim // 4, dtype=torch.float32) / (dim // 4))
    rows, cols = torch.meshgrid(
        torch.arange(grid[0], dtype=torch.float32),
        torch.arange(grid[1], dtype=torch.float32),
        indexing="ij",
    )
    axes = (rows, cols) if layout == "bootmae" else (cols, rows)
    angles = [axis.reshape(-1, 1) * omega for axis in axes]  # 2 x (N, C/4)
    table = torch.cat([wave(angle) for angle in angles for wave in (torch.sin, torch.cos)], dim=1)
    return torch.cat([torch.zeros(num_prefix, dim), table])[None]


def resampling(source: int, target: int, antialias: bool, offset: Tensor | float = 0.0) -> Tensor:
    """``F.interpolate`` along one side as a matrix (target, source), for graphs of any size.

    A sum over sources of cubic weights: of the four nearest, those beyond the edge counted to it;
    or, antialiased, of all within a support that grows with the source (torch's UpSample kernels).
    ``offset`` is added to the target in its scale.
    """
    middles = torch.arange(target) + 0.5
    length = middles[-1] + 0.5 + offset  # the target, as a tensor
    centre = middles * (source / length)  # in pixels of the source
    if antialias:
        stretch = (source / length).clamp(min=1)
        weights = _cubic((torch.arange(0.5, source) - centre[:, None]) / stretch, -0.5)
        return weights / weights.sum(dim=1, keepdim=True)
    taps = (centre - 0.5).floor()[:, None] + torch.arange(-1.0, 3.0)  # (T, 4)
    weights = _cubic(centre[:, None] - 0.5 - taps, -0.75)
    falls_on = taps.clamp(0, source - 1)[..., None] == torch.arange(float(source))  # (T, 4, S)
    return (weights[..., None] * falls_on).sum(dim=1)


def _cubic(distance: Tensor, a: float) -> Tensor:
    """Keys' kernel, which ends at a distance of 2."""
    x = distance.abs()
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = a * (((x - 5) * x + 8) * x - 4)
    return torch.where(x <= 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def resize_position(
    table: Tensor,
    source: tuple[int, int],
    target: tuple[int, int],
    num_prefix: int = 0,
    rule: Resize = "bicubic",
) -> Tensor:
    """Fit a position table to another grid: bicubic, prefix rows untouched.

    Args:
        table: (1, num_prefix + h * w, C) on the source grid.
        source: (h, w) that the table was made for.
        target: (h, w) wanted.
        num_prefix: rows in front that belong to no patch.
        rule: 'bicubic'; 'antialiased' as timm and DINOv2 with registers; 'offset' as DINO and
            DINOv2 without, whose scale is that of a grid larger by 0.1.

    Returns:
        (1, num_prefix + h' * w', C) in the table's dtype.

    Raises:
        MaskSSLError: an unknown rule.
    """
    if rule not in RESIZES:
        raise MaskSSLError(f"pos_resize={rule!r} is unknown; use one of {RESIZES}")
    prefix, patches = table[:, :num_prefix], table[:, num_prefix:]
    if torch.compiler.is_exporting():  # the target may be a size that only the run knows
        offset: Tensor | float = 0.0
        if rule == "offset":  # none at the table's own grid
            sides = zip(source, target, strict=True)
            ends = [torch.arange(new)[-1] + 1 != old for old, new in sides]
            offset = OFFSET * torch.stack(ends).any()
        down, across = (
            resampling(old, new, rule == "antialiased", offset).to(table)
            for old, new in zip(source, target, strict=True)
        )
        rows = (down @ patches.reshape(source[0], -1)).unflatten(1, (source[1], -1))  # (h', w, C)
        return torch.cat([prefix, (across @ rows).flatten(0, 1)[None]], dim=1)
    if tuple(source) == tuple(target):
        return table
    image = patches.reshape(1, *source, -1).permute(0, 3, 1, 2).float()  # (1, C, h, w)
    if rule == "offset":
        scale = [(new + OFFSET) / old for new, old in zip(target, source, strict=True)]
        image = F.interpolate(image, scale_factor=scale, mode="bicubic", align_corners=False)
    else:
        antialias = rule == "antialiased"
        size = tuple(target)
        image = F.interpolate(image, size, mode="bicubic", align_corners=False, antialias=antialias)
    patches = image.flatten(2).transpose(1, 2).to(table.dtype)  # (1, N', C)
    return torch.cat([prefix, patches], dim=1)
