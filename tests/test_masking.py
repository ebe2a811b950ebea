"""Masks: exact counts, every position, the rotation; and one convention, True = masked."""

import math
import random

import numpy as np
import pytest
import torch

from maskssl import masking
from maskssl.errors import MaskSSLError
from maskssl.masking import (
    block_mask,
    check_ordering,
    gather_patches,
    multi_masks,
    order_visible_first,
    scaled_counts,
    split_ordering,
    visible_count,
)

# Block masks


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def script(monkeypatch):
    """Replace the random numbers by rows of (area, aspect, top, left) draws in 0..1."""

    def run(rows, grid=(14, 14), **options):
        monkeypatch.setattr(masking, "_uniform_rows", lambda count, generator: iter(rows))
        return block_mask(grid, **options)

    return run


def rectangle(grid, top, left, rows, cols):
    mask = torch.zeros(grid, dtype=torch.bool)
    mask[top : top + rows, left : left + cols] = True
    return mask


SQUARE = 0.5  # aspect draw of a ratio of 1
LAST = 1 - 1e-9  # position draw of the last place


def test_counts_scale_with_the_grid():
    assert scaled_counts((14, 14)) == (120, 16, 60)
    assert scaled_counts((28, 28)) == (480, 64, 240)
    assert scaled_counts((7, 28)) == (120, 16, 60)
    assert scaled_counts((8, 8)) == (39, 5, 20)  # 64/196 of 120, 16, 60: 39.2, 5.2, 19.6
    assert scaled_counts((2, 2)) == (2, 1, 1)


@pytest.mark.parametrize(
    ("grid", "expected"),
    [((14, 14), 120), ((8, 8), 39), ((16, 24), 235), ((5, 12), 37), ((2, 9), 11), ((2, 2), 2)],
)
def test_exactly_the_scaled_number_is_masked(grid, expected):
    generator = seeded()
    masks = [block_mask(grid, generator=generator) for _ in range(30)]
    assert all(mask.shape == grid and mask.dtype == torch.bool for mask in masks)
    assert {int(mask.sum()) for mask in masks} == {expected}
    assert len({tuple(mask.flatten().tolist()) for mask in masks}) > 5  # they differ


@pytest.mark.parametrize("num_masks", [1, 15, 75, 147, 190])
def test_exactly_the_asked_number_is_masked(num_masks):
    generator = seeded()
    counts = {int(block_mask((14, 14), num_masks, generator=generator).sum()) for _ in range(10)}
    assert counts == {num_masks}


@pytest.mark.parametrize("grid", [(14, 14), (4, 10), (10, 4)])
def test_every_position_is_reached_and_edges_are_equal(grid):
    generator = seeded()
    rate = np.stack([block_mask(grid, generator=generator) for _ in range(600)]).mean(axis=0)
    assert rate.min() > 0 and rate.max() < 1
    assert rate[-1].mean() == pytest.approx(rate[0].mean(), abs=0.05)
    assert rate[:, -1].mean() == pytest.approx(rate[:, 0].mean(), abs=0.05)


def test_one_block_by_hand(script):
    """Area 16 to 60, aspect 0.3 to 1/0.3, any position up to the last row and column."""
    one = dict(num_masks=16, min_area=16)
    middle = script([(0.0, SQUARE, 0.5, 0.0)], **one)  # 11 places: int(0.5 * 11) = 5
    torch.testing.assert_close(middle, rectangle((14, 14), 5, 0, 4, 4))
    corner = script([(0.0, SQUARE, LAST, LAST)], **one)
    torch.testing.assert_close(corner, rectangle((14, 14), 10, 10, 4, 4))
    # area 60, ratio 1/0.3: sqrt(60 / 0.3) = 14.1 rows do not fit; ratio 1: 7.7 -> 8 x 8
    largest = script([(LAST, LAST, 0, 0), (LAST, SQUARE, 0, 0)], num_masks=64, max_area=64)
    torch.testing.assert_close(largest, rectangle((14, 14), 0, 0, 8, 8))
    # area 27, ratio 0.3 and 1/0.3: sqrt(8.1) -> 3 by sqrt(90) -> 9
    wide = script([(0.0, 0.0, 0, 0)], num_masks=27, min_area=27)
    torch.testing.assert_close(wide, rectangle((14, 14), 0, 0, 3, 9))
    high = script([(0.0, LAST, 0, 0)], num_masks=27, min_area=27)
    torch.testing.assert_close(high, rectangle((14, 14), 0, 0, 9, 3))


def test_sides_are_shorter_than_the_grid(script):
    full_height = (0.0, SQUARE, 0.0, 0.0)  # 4 x 4 in a grid of 4 x 10
    wide = (0.0, 0.15, 0.0, 0.0)  # ratio 0.43: 3 x 6 = 18 patches
    counts = dict(num_masks=18, min_area=16, max_area=18)
    mask = script([full_height, wide], grid=(4, 10), **counts)
    torch.testing.assert_close(mask, rectangle((4, 10), 0, 0, 3, 6))


def test_blocks_add_between_one_and_the_missing_and_are_not_trimmed(script):
    first = (0.0, SQUARE, 0.0, 0.0)  # 4 x 4 at the top left
    nothing_new = first
    too_much = (0.0, SQUARE, LAST, LAST)  # 16 more, 4 missing
    overlap = (0.0, SQUARE, 0.0, 1.5 / 11)  # shifted by one column: adds 4
    mask = script([first, nothing_new, too_much, overlap], num_masks=20, min_area=16)
    torch.testing.assert_close(mask, rectangle((14, 14), 0, 0, 4, 5))
    # with fewer missing than min_area the area is drawn between the two
    small = (LAST, SQUARE, LAST, LAST)  # area 4: 2 x 2
    mask = script([first, small], num_masks=20, min_area=16)
    both = rectangle((14, 14), 0, 0, 4, 4) | rectangle((14, 14), 12, 12, 2, 2)
    torch.testing.assert_close(mask, both)


def test_no_block_adds_more_than_the_largest_area(script):
    rounded_up = (LAST, 0.42, 0.0, 0.0)  # area 25, ratio 0.82: 4.5 x 5.5 -> 5 x 6 = 30
    exact = (LAST, SQUARE, LAST, LAST)  # 5 x 5
    mask = script([rounded_up, exact, exact[:2] + (0, 0)], num_masks=50, max_area=25, min_area=16)
    both = rectangle((14, 14), 9, 9, 5, 5) | rectangle((14, 14), 0, 0, 5, 5)
    torch.testing.assert_close(mask, both)


def independent_mask(rng: random.Random, size: int = 14) -> np.ndarray:
    """The paper's procedure for 120 of 14 x 14, written apart from the package."""
    mask = np.zeros((size, size), dtype=bool)
    while mask.sum() < 120:
        missing = 120 - mask.sum()
        area = rng.uniform(16, min(60, missing))
        aspect = math.exp(rng.uniform(math.log(0.3), math.log(1 / 0.3)))
        rows, cols = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if rows < size and cols < size:
            top, left = rng.randint(0, size - rows), rng.randint(0, size - cols)
            tried = mask.copy()
            tried[top : top + rows, left : left + cols] = True
            if 1 <= tried.sum() - mask.sum() <= min(60, missing):
                mask = tried
    return mask


def test_masks_are_distributed_as_described():
    rng, generator = random.Random(1), seeded(1)
    theirs = np.stack([independent_mask(rng) for _ in range(300)])
    ours = np.stack([block_mask((14, 14), generator=generator).numpy() for _ in range(300)])

    def edges(masks):  # borders between masked and unmasked: they tell the size of the blocks
        rows, cols = masks[:, 1:] != masks[:, :-1], masks[..., 1:] != masks[..., :-1]
        return (rows.sum() + cols.sum()) / len(masks)

    assert edges(ours) == pytest.approx(edges(theirs), rel=0.05)
    for part in (np.s_[:, 0], np.s_[:, -1], np.s_[:, 6:8, 6:8], np.s_[:, 0, 0], np.s_[:, -1, -1]):
        assert ours[part].mean() == pytest.approx(theirs[part].mean(), abs=0.08)


def test_deterministic_under_a_generator_alone():
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first = block_mask((14, 14), generator=seeded(7))
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(5)
    torch.testing.assert_close(block_mask((14, 14), generator=seeded(7)), first)
    assert not torch.equal(block_mask((14, 14), generator=seeded(8)), first)


@pytest.mark.parametrize("grid", [(1, 8), (8, 1), (1, 1)])
def test_a_grid_of_one_row_is_refused(grid):
    with pytest.raises(MaskSSLError, match=f"{grid[0]} x {grid[1]} patches; use at least 2 x 2"):
        block_mask(grid)


@pytest.mark.parametrize("num_masks", [196, 500, 0, -3])
def test_impossible_counts_are_refused(num_masks):
    with pytest.raises(MaskSSLError, match=rf"num_masks={num_masks} .*choose 1 to 195"):
        block_mask((14, 14), num_masks)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (dict(min_area=61), "got 61, 60 and 0.3"),
        (dict(min_area=0), "got 0, 60 and 0.3"),
        (dict(max_area=15), "got 16, 15 and 0.3"),
        (dict(min_aspect=0.0), "got 16, 60 and 0.0"),
        (dict(min_aspect=1.5), "got 16, 60 and 1.5"),
    ],
)
def test_impossible_blocks_are_refused(options, said):
    with pytest.raises(MaskSSLError, match=said):
        block_mask((14, 14), **options)


def test_ends_where_no_block_fits():
    with pytest.raises(MaskSSLError, match=r"500 rectangles did not mask 3 of the 2 x 2 patches"):
        block_mask((2, 2), 3, min_area=4, max_area=4, max_attempts=500)


# Orderings


@pytest.fixture
def masks():
    generator = seeded()
    masks = torch.stack([block_mask((14, 14), generator=generator) for _ in range(3)])
    return masks.flatten(1)


@pytest.mark.parametrize("rotation", [0, 1, 2, 3])
def test_rotation_brings_exactly_that_many_masked_patches_to_the_front(masks, rotation):
    ids = order_visible_first(masks, rotation, generator=seeded())
    torch.testing.assert_close(ids.sort(dim=1).values, torch.arange(196).expand(3, -1))
    in_order = masks.gather(1, ids)
    assert in_order[:, :rotation].all()
    assert not in_order[:, rotation : rotation + 76].any()
    assert in_order[:, rotation + 76 :].all()
    visible = split_ordering(ids, 49).ids_keep
    assert masks.gather(1, visible).sum(dim=1).tolist() == [rotation] * 3


def test_order_is_random_inside_both_groups():
    mask = torch.tensor([[True, False, True, False, False, True]])
    generator = seeded()
    draws = torch.cat([order_visible_first(mask, 0, generator=generator) for _ in range(300)])
    for place in range(6):
        counts = draws[:, place].bincount(minlength=6)
        members = [0, 2, 5] if place >= 3 else [1, 3, 4]
        assert counts[members].sum() == 300
        assert counts[members].min() > 65  # 100 expected, deviation 8


def test_rotated_patches_are_drawn_from_all_masked_ones():
    mask = torch.tensor([[True, False, True, False, False, True]])
    generator = seeded()
    fronts = {int(order_visible_first(mask, 1, generator=generator)[0, 0]) for _ in range(50)}
    assert fronts == {0, 2, 5}


def test_one_rotation_for_the_batch_drawn_from_zero_to_the_largest(masks):
    generator = seeded()
    seen = set()
    for _ in range(60):
        ids = order_visible_first(masks, generator=generator)
        in_front = masks.gather(1, ids[:, :4]).sum(dim=1)
        assert in_front.unique().numel() == 1
        seen.add(int(in_front[0]))
    assert seen == {0, 1, 2, 3}
    ids = [order_visible_first(masks, max_rotation=0, generator=generator) for _ in range(10)]
    assert not any(masks.gather(1, i[:, :1]).any() for i in ids)


def test_ordering_is_deterministic_under_a_generator(masks):
    first = order_visible_first(masks, generator=seeded(5))
    torch.testing.assert_close(order_visible_first(masks, generator=seeded(5)), first)
    assert not torch.equal(order_visible_first(masks, generator=seeded(6)), first)


def test_an_ordering_lies_where_its_mask_does():
    ids = order_visible_first(torch.zeros(2, 16, dtype=torch.bool, device="meta"))
    assert (ids.device.type, ids.shape) == ("meta", (2, 16))


# Splits


def test_split_by_hand():
    split = split_ordering(torch.tensor([[3, 0, 2, 1], [1, 2, 3, 0]]), 1)
    assert split.ids_keep.tolist() == [[3], [1]]
    assert split.ids_masked.tolist() == [[0, 2, 1], [2, 3, 0]]
    assert split.ids_restore.tolist() == [[1, 3, 2, 0], [3, 0, 1, 2]]
    assert split.mask.tolist() == [[True, True, True, False], [True, False, True, True]]


def test_split_is_a_partition_and_restore_its_inverse():
    ids = torch.rand(4, 60, generator=seeded()).argsort(dim=1)
    split = split_ordering(ids, 17)
    assert split.mask.sum(dim=1).tolist() == [43] * 4
    assert not split.mask.gather(1, split.ids_keep).any()
    assert split.mask.gather(1, split.ids_masked).all()
    patches = torch.rand(4, 60, 5, generator=seeded())
    shuffled = gather_patches(patches, ids)
    torch.testing.assert_close(gather_patches(shuffled, split.ids_restore), patches)
    for image in range(4):
        kept = gather_patches(patches, split.ids_keep)[image]
        torch.testing.assert_close(kept, patches[image][split.ids_keep[image]])


@pytest.mark.parametrize("row", [[0, 1, 2, 2], [1, 2, 3, 4], [0, 0, 0, 0], [-1, 0, 1, 2]], ids=str)
def test_what_is_no_permutation_is_refused(row):
    check_ordering(torch.tensor([[0, 1, 2, 3], [3, 1, 0, 2]]))
    with pytest.raises(MaskSSLError, match="each of the 4 patches once per image"):
        check_ordering(torch.tensor([[0, 1, 2, 3], row]))


@pytest.mark.parametrize("num_keep", [0, 4, 9, -1])
def test_a_split_keeps_and_masks_something(num_keep):
    with pytest.raises(MaskSSLError, match=f"^{num_keep} of 4 patches would stay visible"):
        split_ordering(torch.arange(4)[None], num_keep)


def test_masks_are_drawn_where_they_are_wanted():
    for disjoint in (True, False):
        ids = multi_masks(2, 16, 0.75, 3, disjoint, device="meta")
        assert (ids.device.type, ids.dtype, ids.shape) == ("meta", torch.int64, (2, 3, 4))


@pytest.mark.parametrize(
    ("patches", "ratio", "visible"),
    [
        *[(196, 0.8, 39), (196, 0.9, 19), (16, 0.75, 4), (10, 0.89, 1), (10, 0.11, 8)],
        # (1 - 0.9) * 10 is less than 1 in floats, and (1 - 0.8) * 100 less than 20
        *[(10, 0.9, 1), (100, 0.9, 10), (100, 0.8, 20)],
    ],
)
def test_visible_patches_are_rounded_down(patches, ratio, visible):
    assert visible_count(patches, ratio) == visible


@pytest.mark.parametrize("patches", [36, 64, 144, 196, 256])
@pytest.mark.parametrize("ratio", [0.8, 0.9])
def test_as_many_stay_visible_as_the_authors_count_on_grids_in_use(patches, ratio):
    assert visible_count(patches, ratio) == int(patches * (1 - ratio))


@pytest.mark.parametrize(("ratio", "visible"), [(0.95, 0), (1.0, 0), (0.0, 10), (-0.5, 15)])
def test_a_ratio_that_leaves_no_choice_is_refused(ratio, visible):
    said = f"mask_ratio={ratio} leaves {visible} of 10 patches visible; choose a ratio .*0.9$"
    with pytest.raises(MaskSSLError, match=said):
        visible_count(10, ratio)
