"""What image files say of themselves."""

import numpy as np
import pytest
from PIL import Image, ImageCms

from maskssl.datasets.checks.errors import DataError
from maskssl.datasets.checks.pictures import (
    Picture,
    UnreadablePictureError,
    check_depth,
    look_at,
    look_at_all,
    look_at_channels,
    orientation_notes,
    sample,
)
from maskssl.datasets.transforms.loading import LoadImage
from tests.datasets.checks.sets import turn


def write(path, mode="RGB", size=(12, 8)):
    Image.new(mode, size).save(path)
    return path


@pytest.mark.parametrize(
    ("name", "mode", "bits"),
    [
        *(("a.jpg", "RGB", 8), ("a.jpg", "L", 8), ("a.png", "RGBA", 8), ("a.webp", "RGB", 8)),
        *(("a.png", "I;16", 16), ("a.tif", "I;16", 16), ("a.tif", "F", 32), ("a.tif", "RGB", 8)),
    ],
)
def test_size_mode_and_depth_are_read(name, mode, bits, tmp_path):
    picture = look_at(write(tmp_path / name, mode))
    assert (picture.size, picture.mode, picture.bits) == ((12, 8), mode, bits)
    if bits > 8:
        with pytest.raises(DataError, match=rf"{name} has {bits} bits a channel"):
            check_depth([picture])
    else:
        check_depth([picture])


def test_sixteen_bits_in_colour_are_seen(tmp_path):
    import cv2

    path = str(tmp_path / "deep.png")
    assert cv2.imwrite(path, np.full((4, 4, 3), 4095, np.uint16))
    assert look_at(path).bits == 16


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_turns_the_size(orientation, tmp_path):
    path = write(tmp_path / "a.jpg")
    turn(path, orientation)
    picture = look_at(path)
    assert picture.orientation == orientation and picture.size == (12, 8)
    assert picture.upright == ((8, 12) if orientation > 4 else (12, 8))
    assert len(orientation_notes([picture])) == (1 < orientation < 5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as an image (it is empty)"),
        (b"hello", "cannot be read as an image (it starts with b'hello')"),
        (None, "there is no file"),
    ],
)
def test_unreadable_files_are_named(content, message, tmp_path):
    path = tmp_path / "bad.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        look_at(path)
    assert message in str(caught.value) and "bad.jpg" in str(caught.value)


def test_a_picture_that_is_cut_short_is_unreadable(tmp_path):
    path = tmp_path / "cut.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(DataError, match=r"cut\.jpg cannot be read as an image .*truncated"):
        look_at(path)


def test_a_share_may_be_unreadable(tmp_path):
    paths = [str(write(tmp_path / f"{number}.png")) for number in range(4)]
    (tmp_path / "4.png").write_bytes(b"no")
    paths.append(str(tmp_path / "4.png"))

    def say(first: str, bad: int, total: int) -> str:
        return f"{bad} of {total}: {first}"

    pictures, unreadable = look_at_all(paths, 0.2, say)
    assert len(pictures) == 4 and "4.png" in unreadable[0]
    with pytest.raises(DataError, match=r"1 of 5: .*4\.png"):
        look_at_all(paths, 0.19, say)


def test_a_sample_is_spread_evenly():
    assert sample(3, 8) == [0, 1, 2] and sample(100, None) == list(range(100))
    assert sample(1000, 4) == [0, 250, 500, 750]


@pytest.mark.parametrize(
    ("bad", "allowed", "files", "refused"),
    [
        *((1, 0.01, None, True), (1, 0.01, 64, True), (1, 0.02, 64, False)),  # all were looked at
        *((1, 0.01, 65, True), (3, 0.01, 300, False)),  # what is certain
        *((1, 0.01, 6400, False), (3, 0.01, 6400, False), (4, 0.01, 6400, True)),
        *((0, 0.0, 6400, False), (1, 0.0, 6400, True), (64, 0.01, 6400, True)),
        *((32, 0.5, 6400, False), (64, 1.0, 6400, False)),
    ],
)
def test_a_sample_condemns_what_it_can_tell(bad, allowed, files, refused):
    """Of 64 files one is more than 1%, and all may be fewer: four say so, and err once in 250."""

    def look(path):
        if int(path) < bad:
            raise UnreadablePictureError(path)
        return Picture(path, 1, 1, "RGB")

    paths = [str(number) for number in range(64)]
    try:
        pictures, unreadable = look_at_all(paths, allowed, lambda *_: "too many", look, files)
    except DataError:
        assert refused
    else:
        assert not refused and (len(pictures), len(unreadable)) == (64 - bad, bad)


def test_arrays_have_their_height_first(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((8, 12, 5), np.uint16))
    picture = look_at_channels(tmp_path / "a.npy", 5)
    assert (picture.size, picture.width, picture.height) == ((12, 8), 12, 8)


def test_a_tiff_in_lab_is_refused_by_its_name(tmp_path):
    """What OpenCV makes of it is another colour, which nothing else would show."""
    colour = (200, 90, 40)
    profiles = (ImageCms.createProfile(name) for name in ("sRGB", "LAB"))
    to_lab = ImageCms.buildTransform(*profiles, "RGB", "LAB")
    path = tmp_path / "a.tif"
    ImageCms.applyTransform(Image.new("RGB", (12, 8), colour), to_lab).save(path)
    found = LoadImage().transform(dict(img_path=str(path)))["img"][0, 0, ::-1].astype(int)
    assert abs(found - colour).max() > 20
    picture = look_at(path)
    assert (picture.mode, picture.bits, picture.size) == ("LAB", 8, (12, 8))
    with pytest.raises(DataError, match=r"a\.tif is in the colours of CIE Lab.*convert .* to RGB"):
        check_depth([picture])
