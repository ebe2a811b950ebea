"""Masks that training would take for something else."""

import numpy as np
import pytest
from PIL import Image

from maskssl.datasets.checks.errors import DataError
from maskssl.datasets.checks.label_codes import LabelCodes
from maskssl.datasets.checks.masks import MaskCode, check_masks, check_pairs, mask_values
from tests.datasets.checks.sets import turn, write_dense


def pairs(root):
    images = sorted((root / "images" / "training").iterdir())
    return [(str(i), str(root / "annotations/training" / f"{i.stem}.png")) for i in images]


def check(root, applies_orientation=True, limit=None, **code):
    mask_code = MaskCode(**{"num_labels": 3, **code})
    return check_masks(pairs(root), mask_code, applies_orientation, limit)


def test_a_good_set_is_counted(tmp_path):
    facts = check(write_dense(tmp_path))
    assert facts.pixels == [4 * (48 * 64 - 800), 4 * 400, 4 * 400]


@pytest.mark.parametrize(
    ("values", "code", "message"),
    [
        ((0, 255, 255), {}, r"hold 0 and 255 alone.*--map-masks 0=0 255=1"),
        ((0, 1, 9), {}, r"000.png holds the value 9 \(13.0% of it\), and with 3 classes .* 0 to 2"),
        ((1, 2, 4), dict(reduce_zero_label=True), "the value 4 .* 0 to 3, of which 0 is ignored"),
        ((0, 1, 7), dict(label_map={0: 0, 1: 1}), "the value 7"),
        ((255, 255, 255), {}, "every pixel of the masks looked at, .*000.png first, is ignored"),
        ((0, 1, 200), dict(codes=LabelCodes({0: 0, 1: 1})), "000.png holds 200, for which no"),
    ],
)
def test_values_beyond_the_classes_are_refused(values, code, message, tmp_path):
    with pytest.raises(DataError, match=message):
        check(write_dense(tmp_path, values), **code)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ((0, 255, 1), {}),
        ((0, 1, 3), dict(reduce_zero_label=True)),
        ((5, 1, 9), dict(label_map={5: 0, 9: 2})),
        ((0, 128, 255), dict(codes=LabelCodes({0: 0, 128: 1, 255: 2}))),
        ((0, 1, 2), dict(codes=LabelCodes({"0": 0, "1": 1, "2": 255}))),
    ],
)
def test_values_are_read_as_loading_reads_them(values, code, tmp_path):
    check(write_dense(tmp_path, values), **code)


def rewrite(root, change):
    path = root / "annotations" / "training" / "001.png"
    with Image.open(path) as image:
        change(image).save(path)
    return root


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda image: image.convert("RGB"), r"001.png has 3 channels \(RGB\).*#ff0000=1"),
        (lambda image: image.resize((32, 24)), "001.png speaks of 32 x 24 pixels, and .*001.jpg"),
        (lambda image: Image.new("I;16", (64, 48), 300), "the value 300"),
    ],
)
def test_masks_of_another_make_are_refused(change, message, tmp_path):
    with pytest.raises(DataError, match=message):
        check(rewrite(write_dense(tmp_path), change))


def test_a_jpeg_holds_no_labels(tmp_path):
    """Whatever its name: of two labels some forty values come back."""
    path = write_dense(tmp_path) / "annotations/training/001.png"
    with Image.open(path) as image:
        image.save(path, format="JPEG")
    with pytest.raises(DataError, match=r"001.png is a JPEG, whose compression .* masks as PNG"):
        check(tmp_path)
    with pytest.raises(DataError, match=r"is a JPEG"):
        mask_values(str(path))


def test_palettes_and_bits_are_labels(tmp_path):
    check(rewrite(write_dense(tmp_path), lambda image: image.convert("P")))
    check(rewrite(write_dense(tmp_path / "b"), lambda image: Image.new("1", (64, 48), 1)))


def test_all_masks_or_a_sample_are_opened(tmp_path):
    root = write_dense(tmp_path, counts=(9, 1))
    (root / "annotations/training/008.png").write_bytes(b"none")
    assert len(check(root, limit=4).pictures) == 4
    with pytest.raises(DataError, match=r"008.png cannot be read as an image \(it starts with b'n"):
        check(root)


def test_images_without_masks_are_counted(tmp_path):
    root = write_dense(tmp_path)
    (root / "annotations/training/002.png").unlink()
    with pytest.raises(DataError, match="1 of 4 images have no mask, e.g. .*002.jpg.*seg_map_suff"):
        check_pairs(pairs(root))


def test_masks_lie_on_the_raster_that_is_loaded(tmp_path):
    root = write_dense(tmp_path)
    turn(root / "images/training/003.jpg", 6)
    check(root, applies_orientation=False)
    with pytest.raises(DataError, match="003.jpg is turned by EXIF .orientation 6.*own raster"):
        check(root, applies_orientation=True)


def test_colours_become_labels():
    codes = LabelCodes({"#000000": 0, "#ff0000": 2, "#00ff00": 1})
    colours = np.array([[[0, 0, 0], [255, 0, 0]], [[0, 255, 0], [0, 0, 0]]], np.uint8)
    assert codes.labels(colours, "x").tolist() == [[0, 2], [1, 0]]
    colours[0, 0] = (0, 0, 255)
    with pytest.raises(DataError, match=r"x\.png holds #0000ff, .* add #0000ff=LABEL"):
        codes.labels(colours, "x.png")
    with pytest.raises(DataError, match="has one channel, and the codes of the masks are colours"):
        codes.labels(colours[..., 0], "x.png")


@pytest.mark.parametrize("codes", [{}, {"#ff0000": 1, 3: 2}, {"red": 1}, {"#ff00": 1}])
def test_codes_of_no_one_kind_are_refused(codes):
    with pytest.raises(DataError, match="neither all integers nor all colours"):
        LabelCodes(codes)


def test_what_is_ignored_is_counted_for_nothing(tmp_path):
    """By ignore_index, and 0 by reduce_zero_label, which counts the others from 0."""
    rest = 4 * (48 * 64 - 800)
    facts = check(write_dense(tmp_path / "a", (0, 1, 7)), ignore_index=7)
    assert facts.pixels == [rest, 1600, 0]
    with pytest.raises(DataError, match="the value 255 .* or are 7, ignored"):
        check(write_dense(tmp_path / "b", (0, 1, 255)), ignore_index=7)
    for number, ignored in enumerate((0, 255)):
        root = write_dense(tmp_path / f"c{number}", (ignored, 1, 3))
        assert check(root, reduce_zero_label=True).pixels == [1600, 0, 1600]
    with pytest.raises(DataError, match="every pixel of the masks looked at"):
        check(write_dense(tmp_path / "d", (0, 0, 0)), reduce_zero_label=True)


def test_255_is_a_label_where_another_is_ignored(tmp_path):
    facts = check(write_dense(tmp_path, (0, 255, 255)), num_labels=256, ignore_index=7)
    assert facts.pixels[255] == 3200


@pytest.mark.parametrize(
    ("values", "change", "message"),
    [
        ((0, 255, 255), None, "write its label, such as 1, in the masks; maskssl train"),
        ((0, 1, 9), None, "classes.txt.*, or write labels in the masks; maskssl train"),
        ((0, 1, 2), "RGB", "write the masks anew, with the label of each pixel; maskssl train"),
    ],
)
def test_a_remedy_is_named_that_every_command_has(values, change, message, tmp_path):
    """maskssl quickstart and transfer meet masks too, and map none."""
    root = write_dense(tmp_path, values)
    if change:
        rewrite(root, lambda image: image.convert(change))
    with pytest.raises(DataError, match=message):
        check(root)
