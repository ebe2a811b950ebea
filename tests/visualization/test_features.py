"""Components, maps and neighbours: numbers that can be worked out by hand."""

import importlib.util
import os
from itertools import product

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from maskssl.visualization.components import component_colours, components
from maskssl.visualization.embedding import draw_map, two_dimensions
from maskssl.visualization.neighbours import RIGHT, WRONG, Found, neighbour_grid
from maskssl.visualization.sheets import framed
from maskssl.visualization.words import printable


def test_components_are_those_of_the_singular_values():
    tokens = torch.randn(50, 6) @ torch.randn(6, 6) + 7
    found, shares = components(tokens)
    centred = tokens.double() - tokens.double().mean(dim=0)
    u, s, v = torch.linalg.svd(centred, full_matrices=False)
    torch.testing.assert_close(found.abs(), (u * s)[:, :3].abs())
    torch.testing.assert_close(shares, s[:3].square() / s.square().sum())
    flipped, _ = components(tokens.flip(0))
    torch.testing.assert_close(flipped.flip(0), found)  # the sign does not depend on the order
    directions = torch.linalg.lstsq(centred, found).solution
    assert (directions.gather(0, directions.abs().argmax(0, keepdim=True)) > 0).all()
    assert v.shape == (6, 6)


def test_patches_of_one_kind_have_one_colour_in_all_pictures():
    """Left and right halves are of two kinds; one picture stands on its head."""
    kinds = torch.randn(2, 8)
    grid = torch.tensor([[0, 1], [0, 1]])
    patches = torch.stack([kinds[grid.flatten()], kinds[grid.flip(1).flatten()]])  # (2, 4, 8)
    colours, shares = component_colours(patches + 1e-6 * torch.randn_like(patches), (2, 2))
    assert colours.shape == (2, 2, 2, 3) and shares[0] > 0.999
    assert {0, 255} == set(colours[..., 0].flatten().tolist())
    np.testing.assert_array_equal(colours[0, ..., 0], colours[1, :, ::-1, 0])


def groups() -> tuple[torch.Tensor, torch.Tensor]:
    """Three groups of twelve, far from each other."""
    labels = torch.arange(36) % 3
    return 10 * torch.eye(3, 5)[labels] + 0.1 * torch.randn(36, 5), labels


@pytest.mark.parametrize("kind", ["PCA", "t-SNE"])
def test_a_map_keeps_groups_together_and_says_how(kind, monkeypatch):
    if kind == "PCA":
        monkeypatch.setattr("maskssl.visualization.embedding.find_spec", lambda name: None)
    elif importlib.util.find_spec("sklearn") is None:
        pytest.skip("scikit-learn is not installed")
    features, labels = groups()
    places, how = two_dimensions(features)
    again, _ = two_dimensions(features)
    np.testing.assert_array_equal(places, again)
    assert how.startswith(kind)
    centres = np.stack([places[labels == label].mean(axis=0) for label in range(3)])
    distances = np.linalg.norm(places[:, None] - centres, axis=2)
    assert (distances.argmin(axis=1) == labels.numpy()).all()


def test_a_map_has_a_dot_for_each_picture_in_the_colour_of_its_class():
    places = np.array([[0.0, 0], [1, 0], [0, 1], [1, 1]])
    drawn = np.asarray(draw_map(places, torch.tensor([0, 0, 1, 1]), ["a", "b"], "hand")).astype(int)
    blue, orange = ((drawn == colour).all(axis=2) for colour in ((31, 119, 180), (255, 127, 14)))
    assert blue.any() and orange.any()
    inside = slice(0, 500)  # left of the legend
    assert np.nonzero(orange[:, inside])[0].max() < np.nonzero(blue[:, inside])[0].min()
    plain = np.asarray(draw_map(places, torch.zeros(4, dtype=torch.long), [], "hand")).astype(int)
    assert not (plain == (255, 127, 14)).all(axis=2).any()


def test_a_map_takes_names_as_folders_have_them():
    """Bytes of a Latin-1 disk, as Python reads them, and what TeX would read as a formula."""
    places, labels = np.array([[0.0, 0], [1, 1]]), torch.arange(2)
    assert draw_map(places, labels, [os.fsdecode(b"zo\xe9"), "a $x_$ b"], "hand").size == (
        770,
        550,
    )


def test_neighbours_stand_behind_their_query_framed_by_right_and_wrong():
    colours = ["black", "white", "blue"]
    pictures = [Image.new("RGB", (10, 10), colour) for colour in colours]
    row = [Found(pictures[0], "disc"), Found(pictures[1], "disc 0.99", True)]
    page = neighbour_grid([[*row, Found(pictures[2], "star 0.98", False)]], side=40)
    pixels = np.asarray(page)

    def at(column: int, y: int, x: int) -> tuple[int, ...]:
        return tuple(pixels[18 + y, 4 + column * 44 + x].tolist())

    def rgb(name: str) -> tuple[int, ...]:
        return Image.new("RGB", (1, 1), name).getpixel((0, 0))

    assert (at(0, 1, 1), at(0, 20, 20)) == (rgb("black"), rgb("black"))
    assert (at(1, 1, 1), at(1, 20, 20)) == (rgb(RIGHT), rgb("white"))
    assert (at(2, 1, 1), at(2, 20, 20)) == (rgb(WRONG), rgb("blue"))
    captions = pixels[18 + 40 : 18 + 54, 4 + 44 : 4 + 84]
    assert (captions != 255).any()


def test_colours_lie_where_their_patches_do_in_an_oblong_grid():
    kinds = torch.randn(2, 8)
    grid = torch.tensor([[0, 1, 1], [0, 0, 1]])
    patches = torch.stack([kinds[one.flatten()] for one in (grid, 1 - grid, grid)])  # (3, 6, 8)
    colours, _ = component_colours(patches + 1e-6 * torch.randn_like(patches), (2, 3))
    first = colours[..., 0].astype(int)
    assert first.shape == (3, 2, 3)
    for number, kind in enumerate((grid, 1 - grid, grid)):
        assert (first[number] == first[0, 0, 0]).tolist() == (kind == 0).tolist()


@pytest.mark.parametrize("caption", ["", "cat", "a name that is longer than its picture"])
def test_a_picture_keeps_its_shape_and_its_words_keep_to_it(caption, monkeypatch):
    written = []
    text = ImageDraw.ImageDraw.text
    monkeypatch.setattr(
        ImageDraw.ImageDraw, "text",
        lambda pen, place, words, **more: (written.append(words), text(pen, place, words, **more)),
    )  # fmt: skip
    cell = framed(Image.new("RGB", (60, 20), "blue"), 90, caption)
    assert cell.size == (90, 30 + (14 if caption else 0))
    assert np.array_equal(np.asarray(cell)[:30], np.full((30, 90, 3), (0, 0, 255)))
    assert written.pop() == caption or len(caption) > 30
    width = ImageDraw.Draw(cell).textlength
    for count, side in product(range(1, len(caption) + 1), range(86, 94)):
        framed(cell, side, caption[:count])
        words, rest = written.pop(), caption[:count]
        if words != rest:
            assert words.endswith("…") and rest.startswith(words[:-1])
            assert width(rest) > side - 4 and width(f"{rest[: len(words)]}…") > side - 4
        assert width(words) <= side - 4


def test_names_that_no_text_can_hold_stay_apart():
    one, other = (printable(os.fsdecode(name)) for name in (b"n\xe9", b"n\xe8"))
    assert (one, other) == (r"n\udce9", r"n\udce8")
    assert printable("café 猫") == "café 猫"
