"""Data transforms: images that cannot be read are named; masks come out as drawn."""

import numpy as np
import pytest
import torch
from mmpretrain.registry import TRANSFORMS
from PIL import Image

from maskssl.datasets.transforms.block_mask import BlockMask
from maskssl.datasets.transforms.loading import LoadImage, UnreadableImageError
from maskssl.datasets.transforms.map_labels import MapLabels
from maskssl.errors import MaskSSLError
from maskssl.masking import block_mask

BACKENDS = pytest.mark.parametrize("backend", ["cv2", "pillow"])


# LoadImage


@BACKENDS
def test_a_good_image_is_read_as_bgr(backend, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "good.png")
    path = str(tmp_path / "good.png")
    results = LoadImage(imdecode_backend=backend).transform(dict(img_path=path, gt_label=3))
    np.testing.assert_array_equal(results["img"], pixels[..., ::-1])
    assert results["img_shape"] == results["ori_shape"] == (5, 7)
    assert results["gt_label"] == 3


@BACKENDS
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a text, not a picture", "it starts with b'a text, not "),
        (b"", "it is empty"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00", "it starts with"),  # a head, and nothing behind
        (None, "No such file"),
    ],
    ids=["text", "empty", "cut", "missing"],
)
@pytest.mark.filterwarnings("ignore")
def test_a_file_that_is_no_image_is_named(content, said, backend, tmp_path):
    path = tmp_path / "picture.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnreadableImageError) as refusal:
        LoadImage(imdecode_backend=backend).transform(dict(img_path=str(path)))
    message = str(refusal.value)
    assert isinstance(refusal.value, MaskSSLError)
    assert message.startswith(f"{path} cannot be read as an image")
    assert said in message
    assert "replace or remove it from the data folder" in message
    assert len(message.splitlines()) == 1


def test_an_image_that_is_there_is_left_as_it_is_and_nothing_is_read():
    """A cache has it; what later transforms do to the array stays out of the cache."""
    pixels = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    given = dict(img_path="nowhere.jpg", img=pixels, gt_label=3)
    results = LoadImage().transform(given)
    np.testing.assert_array_equal(results["img"], pixels)
    assert not np.shares_memory(results["img"], pixels)
    assert results["img_shape"] == results["ori_shape"] == (5, 7)
    assert (results["img_path"], results["gt_label"]) == ("nowhere.jpg", 3)


def test_an_image_that_was_to_be_skipped_is_named_too(tmp_path):
    """mmcv's ignore_empty returns None, which the next transform would trip over."""
    path = str(tmp_path / "none.jpg")
    with pytest.raises(UnreadableImageError, match=path):
        LoadImage(ignore_empty=True).transform(dict(img_path=path))


@BACKENDS
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_orientation_of_exif_data_is_ignored_unless_asked_for(orientation, backend, tmp_path):
    """Pillow does not apply it, so the authors' data sets do not."""
    pixels = np.zeros((16, 48, 3), dtype=np.uint8)
    pixels[:, :16, 0], pixels[:, 32:, 2] = 255, 255  # red left, blue right
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = str(tmp_path / "turned.jpg")
    Image.fromarray(pixels).save(path, exif=exif, quality=95)
    stored = np.asarray(Image.open(path).convert("RGB"))[..., ::-1].astype(int)
    loaded = LoadImage(imdecode_backend=backend).transform(dict(img_path=path))
    assert loaded["img_shape"] == loaded["ori_shape"] == (16, 48)
    assert abs(loaded["img"].astype(int) - stored).max() <= 3  # two decoders
    turned = LoadImage(imdecode_backend=backend, color_type="color").transform(dict(img_path=path))
    assert turned["img_shape"] == ((48, 16) if orientation in (6, 8) else (16, 48))
    if orientation == 3:
        assert abs(turned["img"][::-1, ::-1].astype(int) - stored).max() <= 3


def test_every_scope_finds_it():
    assert isinstance(TRANSFORMS.build(dict(type="LoadImage")), LoadImage)


# BlockMask


def test_mask_is_the_one_of_the_masking_module():
    transform = TRANSFORMS.build(dict(type="BlockMask", grid=[14, 14]))
    torch.manual_seed(4)
    results = transform(dict(img="kept"))
    torch.manual_seed(4)
    expected = block_mask((14, 14)).numpy()
    np.testing.assert_array_equal(results["mask"], expected)
    assert results["mask"].dtype == bool
    assert results["mask"].sum() == 120
    assert results["img"] == "kept"


def test_masks_differ_between_images_and_keep_to_the_options():
    transform = BlockMask(grid=(6, 10), num_masks=23, min_area=4, max_area=9)
    masks = [transform(dict())["mask"] for _ in range(10)]
    assert {mask.shape for mask in masks} == {(6, 10)}
    assert {int(mask.sum()) for mask in masks} == {23}
    assert len({mask.tobytes() for mask in masks}) == 10
    single = BlockMask(grid=(6, 10), num_masks=4, min_area=4, max_area=4, min_aspect=1.0)
    for _ in range(20):  # one square of 2 x 2
        rows, cols = np.nonzero(single(dict())["mask"])
        assert np.ptp(rows) == np.ptp(cols) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (dict(grid=(1, 8)), "1 x 8 patches; use at least 2 x 2"),
        (dict(grid=(4, 4), num_masks=16), "num_masks=16 does not fit"),
        (dict(grid=(4, 4), min_area=9), "got 9, 5 and 0.3"),
        (dict(grid=(2, 2), num_masks=3, min_area=4, max_area=4), "did not mask 3 of the 2 x 2"),
    ],
)
def test_what_cannot_be_masked_is_refused_when_the_pipeline_is_built(options, said):
    with pytest.raises(MaskSSLError, match=said):
        BlockMask(**options)


def test_masks_in_values_or_colours_become_labels():
    values = np.array([[0, 255], [7, 0]], np.uint8)
    mapped = MapLabels({"0": 0, "7": 2, "255": 1})(dict(gt_seg_map=values, seg_map_path="x.png"))
    assert mapped["gt_seg_map"].tolist() == [[0, 1], [2, 0]]
    bgr = np.array([[[0, 0, 255], [255, 0, 0]]], np.uint8)  # red, blue
    mapped = MapLabels({"#ff0000": 1, "#0000ff": 2})(dict(gt_seg_map=bgr, seg_map_path="x.png"))
    assert mapped["gt_seg_map"].tolist() == [[1, 2]]
