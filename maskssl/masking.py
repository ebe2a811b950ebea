"""Which patches are masked: pure functions, a generator in, indices out.

One convention holds in the whole package. A *mask* is boolean and True means
masked. Patches are numbered row by row. An *ordering* ``ids_shuffle`` lists the
patches of each image, visible ones first; cutting it gives ``ids_keep`` and
``ids_masked``, and inverting it gives ``ids_restore``.

Shapes: B images, N = h * w patches, V visible patches.
"""

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import torch
from torch import Tensor

from .errors import MaskSSLError

# Counts that the BootMAE authors use on a 14 x 14 grid (masking_generator.py).
REFERENCE_PATCHES = 196
REFERENCE_MASKED = 120
REFERENCE_MIN_AREA = 16
REFERENCE_MAX_AREA = 60


class Split(NamedTuple):
    """An ordering of patches, cut into visible and masked.

    Attributes:
        ids_keep: (B, V) visible patches, in the order in which they are encoded.
        ids_masked: (B, N - V) the other patches.
        ids_restore: (B, N) where each patch stands in the ordering.
        mask: (B, N) bool in image order, True = masked.
    """

    ids_keep: Tensor
    ids_masked: Tensor
    ids_restore: Tensor
    mask: Tensor


def split_ordering(ids_shuffle: Tensor, num_keep: int) -> Split:
    """Cut an ordering after its first ``num_keep`` patches.

    Args:
        ids_shuffle: (B, N) integer, a permutation of 0..N-1 per image.
        num_keep: V, 1 <= V < N.

    Raises:
        MaskSSLError: ``num_keep`` is out of range.
    """
    num_patches = ids_shuffle.shape[1]
    if not 1 <= num_keep < num_patches:
        raise MaskSSLError(
            f"{num_keep} of {num_patches} patches would stay visible; keep at least 1 and mask at "
            "least 1"
        )
    ids_shuffle = ids_shuffle.long()
    ids_restore = ids_shuffle.argsort(dim=1)
    return Split(
        ids_keep=ids_shuffle[:, :num_keep],
        ids_masked=ids_shuffle[:, num_keep:],
        ids_restore=ids_restore,
        mask=ids_restore >= num_keep,
    )


def check_ordering(ids_shuffle: Tensor) -> None:
    """Refuse an ordering from outside that does not list every patch once.

    It reads the values, which makes a GPU wait: not for orderings drawn here.

    Args:
        ids_shuffle: (B, N) integer.

    Raises:
        MaskSSLError: a row is no permutation of 0..N-1.
    """
    num_patches = ids_shuffle.shape[1]
    expected = torch.arange(num_patches, device=ids_shuffle.device).expand_as(ids_shuffle)
    if not torch.equal(ids_shuffle.long().sort(dim=1).values, expected):
        raise MaskSSLError(
            f"ids_shuffle must list each of the {num_patches} patches once per image, e.g. "
            "torch.rand(B, N).argsort(dim=1)"
        )


def check_kept(ids_keep: Tensor, batch: int, num_patches: int) -> None:
    """Refuse visible patches of several masks that do not belong to a batch.

    Args:
        ids_keep: (B, K, V) integer.
        batch: B.
        num_patches: N.

    Raises:
        MaskSSLError: another shape.
    """
    shape = tuple(ids_keep.shape)
    if len(shape) != 3 or shape[0] != batch or not 0 < shape[2] <= num_patches:
        raise MaskSSLError(
            f"ids_keep has shape {shape}; it lists the visible patches as (images, masks, patches) "
            f"and the batch has {batch} images of {num_patches} patches"
        )


def gather_patches(patches: Tensor, ids: Tensor) -> Tensor:
    """Pick patches by index: (B, N, C) and (B, V) -> (B, V, C)."""
    return patches.gather(1, ids.unsqueeze(-1).expand(-1, -1, patches.shape[-1]))


def scaled_counts(grid: tuple[int, int]) -> tuple[int, int, int]:
    """The authors' 120 / 16 / 60 of 196 patches, scaled to another grid.

    Returns:
        Number of block-masked patches, smallest and largest area of one block.
    """
    share = grid[0] * grid[1] / REFERENCE_PATCHES
    num_masks = max(1, round(REFERENCE_MASKED * share))
    max_area = max(1, round(REFERENCE_MAX_AREA * share))
    return num_masks, max(1, min(max_area, round(REFERENCE_MIN_AREA * share))), max_area


def block_mask(
    grid: tuple[int, int],
    num_masks: int | None = None,
    min_area: int | None = None,
    max_area: int | None = None,
    min_aspect: float = 0.3,
    generator: torch.Generator | None = None,
    max_attempts: int = 200_000,
) -> Tensor:
    """Mask rectangles until exactly ``num_masks`` patches are masked (BEiT, BootMAE).

    A rectangle is kept only if it adds between 1 and min(max_area, missing) new
    patches; otherwise it is drawn anew, so the last one is not trimmed. Every
    position is reachable, the last row and column included.

    Args:
        grid: (h, w) patches, both at least 2: a side is always shorter than the grid.
        num_masks: patches to mask. None scales the authors' 120 of 196.
        min_area: smallest area aimed at, in patches. None scales 16 of 196.
        max_area: most new patches per rectangle. None scales 60 of 196.
        min_aspect: height : width is log-uniform in [min_aspect, 1 / min_aspect].
        generator: source of randomness; torch's global one by default.
        max_attempts: rectangles drawn before giving up.

    Returns:
        (h, w) bool, True = masked.

    Raises:
        MaskSSLError: the grid or a count cannot be met.
    """
    height, width = grid
    scaled = scaled_counts(grid)
    num_masks = scaled[0] if num_masks is None else num_masks
    min_area = scaled[1] if min_area is None else min_area
    max_area = scaled[2] if max_area is None else max_area
    _check_blocks(grid, num_masks, min_area, max_area, min_aspect)

    mask = torch.zeros(height, width, dtype=torch.bool)
    missing = num_masks
    for area_draw, aspect_draw, top_draw, left_draw in _uniform_rows(max_attempts, generator):
        room = min(max_area, missing)
        # with room < min_area this interpolates downwards, as the authors' uniform() does
        area = min_area + area_draw * (room - min_area)
        aspect = math.exp((2 * aspect_draw - 1) * math.log(1 / min_aspect))
        rows, cols = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if rows >= height or cols >= width:
            continue
        top, left = int(top_draw * (height - rows + 1)), int(left_draw * (width - cols + 1))
        block = mask[top : top + rows, left : left + cols]
        added = rows * cols - int(block.sum())
        if not 0 < added <= room:
            continue
        block.fill_(True)
        missing -= added
        if not missing:
            return mask
    raise MaskSSLError(
        f"{max_attempts} rectangles did not mask {num_masks} of the {height} x {width} patches "
        f"(areas {min_area} to {max_area}); lower num_masks or min_area"
    )


def _check_blocks(
    grid: tuple[int, int], num_masks: int, min_area: int, max_area: int, min_aspect: float
) -> None:
    height, width = grid
    if min(grid) < 2:
        raise MaskSSLError(
            f"no block fits a grid of {height} x {width} patches; use at least 2 x 2"
        )
    if not 0 < num_masks < height * width:
        raise MaskSSLError(
            f"num_masks={num_masks} does not fit a grid of {height} x {width} = {height * width} "
            f"patches; choose 1 to {height * width - 1}"
        )
    if not 0 < min_area <= max_area or not 0 < min_aspect <= 1:
        raise MaskSSLError(
            f"blocks need 0 < min_area <= max_area and 0 < min_aspect <= 1, got {min_area}, "
            f"{max_area} and {min_aspect}"
        )


def _uniform_rows(count: int, generator: torch.Generator | None) -> Iterator[list[float]]:
    """Rows of four uniform numbers; drawn in chunks, as single draws are slow."""
    chunk = 32
    for _ in range(math.ceil(count / chunk)):
        yield from torch.rand(chunk, 4, generator=generator, dtype=torch.float64).tolist()


def order_visible_first(
    mask: Tensor,
    rotation: int | Tensor | None = None,
    max_rotation: int = 3,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Order patches: unmasked before masked, random inside both, then rotated.

    Rotating by r brings r masked patches to the front, where they are visible.
    One rotation serves the whole batch (BootMAE, utils.py: mask_to_index).

    Args:
        mask: (B, N) bool, True = masked.
        rotation: r; None draws it uniformly from 0..max_rotation.
        max_rotation: largest rotation drawn.
        generator: on the mask's device.

    Returns:
        (B, N) int64 ordering.
    """
    noise = torch.rand(mask.shape, generator=generator, device=mask.device)
    ids_shuffle = (mask.float() + noise * 0.999).argsort(dim=1)
    if rotation is None:
        # it stays on the device: reading its value would make a GPU wait
        rotation = torch.randint(
            max_rotation + 1, (1,), generator=generator, device=mask.device, dtype=torch.long
        )
    places = torch.arange(mask.shape[1], device=mask.device)
    return ids_shuffle[:, (places - rotation) % mask.shape[1]]


def multi_masks(
    batch: int,
    num_patches: int,
    mask_ratio: float = 0.8,
    num_masks: int = 5,
    disjoint: bool = True,
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Draw several masks per image that hide most of it (ExtreMA, lib/builder.py).

    Disjoint masks cut one random permutation into runs, so no patch is visible under
    two of them; 80 % x 5 shows 195 of 196 patches in all, 90 % x 8 shows 152.

    Args:
        batch: B images.
        num_patches: N patches of an image.
        mask_ratio: share of the patches that each mask hides.
        num_masks: K masks.
        disjoint: False draws every mask on its own.
        generator: on ``device``; torch's global one by default.
        device: of the result.

    Returns:
        (B, K, V) int64 patches to keep, V = int(N * (1 - mask_ratio)).

    Raises:
        MaskSSLError: a mask would show no patch or all, or K disjoint ones do not fit.
    """
    num_keep = visible_count(num_patches, mask_ratio)
    if num_masks < 1 or (disjoint and num_masks * num_keep > num_patches):
        raise MaskSSLError(
            f"{num_masks} disjoint masks of {num_keep} visible patches (mask_ratio={mask_ratio}) "
            f"do not fit {num_patches} patches; use 1 to {num_patches // num_keep} masks, a larger "
            "mask_ratio, or disjoint=False"
        )
    rows = 1 if disjoint else num_masks
    noise = torch.rand(batch, rows, num_patches, generator=generator, device=device)
    ids_shuffle = noise.argsort(dim=-1)  # (B, 1, N), or (B, K, N) when independent
    if disjoint:
        return ids_shuffle[:, 0, : num_masks * num_keep].unflatten(1, (num_masks, num_keep))
    return ids_shuffle[..., :num_keep]


def visible_count(num_patches: int, mask_ratio: float) -> int:
    """Patches that stay visible at a mask ratio: N * (1 - mask_ratio), rounded down.

    The ratio is taken as the decimal that it is written as. The authors' int(N * (1 - 0.9)) makes
    0 of 10 and 9 of 100 of it; at their ratios and grids both agree.

    Raises:
        MaskSSLError: none or all of them would.
    """
    num_keep = int(num_patches * (1 - Fraction(str(mask_ratio))))
    if not 0 < num_keep < num_patches:
        raise MaskSSLError(
            f"mask_ratio={mask_ratio} leaves {num_keep} of {num_patches} patches visible; choose a "
            f"ratio above 0, at most {int(1000 * (1 - 1 / num_patches)) / 1000:g}"
        )
    return num_keep
