"""Truth and predictions on their pictures: colours where the objects are, and nowhere else."""

import numpy as np
import pytest
from PIL import Image

from maskssl.visualization.overlays import COLOURS, Marks, marks_of_map, overlay
from maskssl.visualization.sheets import grid_of

GREY = np.full((40, 40, 3), 200, np.uint8)


def region(top: int, left: int, size: int = 12) -> np.ndarray:
    mask = np.zeros((40, 40), bool)
    mask[top : top + size, left : left + size] = True
    return mask


def test_a_region_has_its_colour_and_the_ground_is_dimmed():
    marks = Marks(np.stack([region(4, 4), region(20, 24)]), np.array([1, 3]))
    drawn = np.asarray(overlay(GREY, marks, width=160)).astype(int)
    assert drawn.shape == (160, 160, 3)
    assert (drawn[150, 10] == int(200 * 0.35)).all()
    for (y, x), label in (((40, 40), 1), ((104, 120), 3)):
        expected = 0.7 * np.array(COLOURS[label]) + 0.3 * 70
        assert np.abs(drawn[y, x] - expected).max() < 3


def test_a_contour_has_the_full_colour():
    drawn = np.asarray(overlay(GREY, Marks(region(8, 8)[None], np.array([0])), width=160))
    assert (drawn == COLOURS[0]).all(axis=2).sum() > 100
    assert not (drawn[50:60, 50:60] == COLOURS[0]).all(axis=2).any()


def test_a_box_lies_where_its_corners_are():
    marks = Marks(np.zeros((1, 40, 40), bool), np.array([2]), np.array([[5.0, 10, 30, 35]]))
    drawn = np.asarray(overlay(GREY, marks, width=160))
    rows, cols = np.nonzero((drawn == COLOURS[2]).all(axis=2))
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (40, 140, 20, 120)


def test_a_later_object_covers_an_earlier_one_and_names_are_written():
    both = np.stack([region(8, 8), region(8, 8)])
    plain = overlay(GREY, Marks(both, np.array([0, 1])), width=160)
    assert np.asarray(plain)[56, 56, 1] > 150  # green above red
    named = overlay(GREY, Marks(both, np.array([0, 1]), captions=["disc", "square"]), width=160)
    assert not np.array_equal(np.asarray(plain), np.asarray(named))


def test_a_label_map_without_ground_and_unlabelled_pixels():
    labels = np.zeros((40, 40), np.uint8)
    labels[:10], labels[20:30], labels[30:] = 2, 1, 255
    marks = marks_of_map(labels, ["background", "disc", "star"])
    assert marks.labels.tolist() == [1, 2] and list(marks.captions) == ["disc", "star"]
    assert np.array_equal(marks.masks, np.stack([labels == 1, labels == 2]))
    empty = marks_of_map(np.zeros((40, 40), np.uint8), ["background"])
    assert empty.masks.shape == (0, 40, 40)
    assert overlay(GREY, empty, width=80).size == (80, 80)


@pytest.mark.parametrize(("count", "rows"), [(2, 1), (3, 2), (4, 2)])
def test_a_grid_lays_rows_under_titles(count, rows):
    cells = [Image.new("RGB", (20, 30), (10 * n, 0, 0)) for n in range(1, count + 1)]
    page = grid_of([cells[at : at + 2] for at in range(0, count, 2)], ["a", "b"], side=20)
    assert page.size == (2 * 24 + 4, 18 + rows * 34)
    assert page.getpixel((4, 18)) == (10, 0, 0)
    if count > 2:
        assert page.getpixel((4, 18 + 34)) == (30, 0, 0)


WIDE = np.full((20, 60, 3), 200, np.uint8)


def places(one, other) -> tuple[int, ...]:
    """First and last row, first and last column where two pictures differ."""
    rows, cols = np.nonzero((np.asarray(one) != np.asarray(other)).any(axis=2))
    return rows.min(), rows.max(), cols.min(), cols.max()


def test_an_oblong_picture_keeps_its_shape_and_its_marks_their_places():
    mask = np.zeros((1, 20, 60), bool)
    mask[:, 5:15, 40:55] = True
    drawn = overlay(WIDE, Marks(mask, np.array([1])), width=120)
    assert drawn.size == (120, 40)
    rows, cols = np.nonzero((np.asarray(drawn) == COLOURS[1]).all(axis=2))
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (10, 29, 80, 109)
    boxed = overlay(WIDE, Marks(0 * mask, np.array([2]), np.array([[40.0, 5, 55, 15]])), width=120)
    rows, cols = np.nonzero((np.asarray(boxed) == COLOURS[2]).all(axis=2))
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (10, 30, 80, 110)


def test_the_name_of_a_region_stands_at_its_own_left_top():
    masks = np.zeros((2, 40, 40), bool)
    masks[0, 25:39, 2:38] = masks[1, 2:20, 20:38] = True
    grey = np.full((40, 40, 3), 200, np.uint8)
    marks = Marks(masks, np.array([0, 1]))
    plain = overlay(grey, marks, width=160)
    for names, (top, left) in ((["at"], (100, 8)), (["", "at"], (8, 80))):
        marks.captions = names
        first, _, column, _ = places(overlay(grey, marks, width=160), plain)
        assert 0 <= first - top < 12 and 0 <= column - left < 8, names
