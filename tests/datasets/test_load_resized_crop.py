"""Crops of images, decoded no larger than they are wanted: torchvision's, on Pillow images."""

import io

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import Compose
from mmpretrain.registry import TRANSFORMS
from PIL import Image
from torchvision import transforms as tv
from torchvision.transforms import InterpolationMode

from maskssl.cli.benchmark.images import shift
from maskssl.datasets import decoding
from maskssl.datasets.decoding import StoredImage, resized_crop
from maskssl.datasets.transforms.crop_draw import drawn_crop
from maskssl.datasets.transforms.load_resized_crop import LoadResizedCrop
from maskssl.datasets.transforms.loading import UnreadableImageError
from maskssl.errors import MaskSSLError

MODES = pytest.mark.parametrize("mode", ["bicubic", "bilinear"])


def photograph(width: int, height: int, seed: int = 0) -> Image.Image:
    """As much of each frequency as photographs have: its amplitude falls as 1 / frequency."""
    rng = np.random.default_rng(seed)
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    falling = 1 / np.maximum(np.hypot(rows, columns), 1 / width)
    channels = [np.fft.irfft2(np.fft.rfft2(rng.standard_normal((height, width))) * falling)]
    for _ in range(2):  # colours of their own, weaker than what all three share
        own = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((height, width))) * falling)
        channels.append(channels[0] + own / 3)
    pixels = np.stack(channels, axis=-1)
    pixels = 128 + 50 * (pixels - pixels.mean()) / pixels.std()
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    for seed, size in enumerate([(1600, 1200), (500, 375), (300, 450)]):
        photograph(*size, seed).save(folder / f"{size[0]}.jpg", quality=92)
    photograph(200, 160, 3).save(folder / "200.png")
    photograph(200, 160, 4).convert("L").save(folder / "grey.jpg")
    return folder


def torchvisions(path, size: int, mode: str) -> np.ndarray:
    image = Image.open(path).convert("RGB")
    image = tv.RandomResizedCrop(size, (0.2, 1.0), interpolation=InterpolationMode(mode))(image)
    return np.asarray(tv.RandomHorizontalFlip()(image)).astype(int)


def ours(path, size: int, mode: str, **options) -> tuple[np.ndarray, int]:
    crop = LoadResizedCrop(size, (0.2, 1.0), interpolation=mode, flip_prob=0.5, **options)
    results = crop(dict(img_path=str(path)))
    assert results["img_shape"] == results["img"].shape[:2] == (size, size)
    assert results["ori_shape"] == Image.open(path).size[::-1]
    assert results["img"].dtype == np.uint8
    return results["img"][..., ::-1].astype(int), results["reduction"]


def differences(path, size: int, mode: str, count: int = 6, **options) -> np.ndarray:
    found = []
    for seed in range(count):
        torch.manual_seed(seed)
        expected = torchvisions(path, size, mode)
        torch.manual_seed(seed)
        found.append(ours(path, size, mode, **options)[0] - expected)
    return np.stack(found)


@pytest.mark.parametrize("ratio", [(3 / 4, 4 / 3), (0.9, 1.1), (1.5, 3.0)])
@pytest.mark.parametrize("shape", [(375, 500), (1200, 1600), (400, 20), (20, 400), (1, 1)])
def test_draws_are_torchvisions_one_by_one(shape, ratio):
    """Those that do not fit too; the generator goes on from the same place."""
    scale = (0.2, 1.0)
    torch.manual_seed(0)
    expected = [
        tv.RandomResizedCrop.get_params(torch.empty(3, *shape), scale, ratio) for _ in range(100)
    ]
    after = torch.rand(1)
    torch.manual_seed(0)
    assert [drawn_crop(*shape, scale, ratio) for _ in range(100)] == expected
    assert torch.equal(torch.rand(1), after)


@MODES
@pytest.mark.parametrize("name", ["500.jpg", "300.jpg", "200.png", "grey.jpg"])
def test_crop_and_flip_are_torchvisions_on_a_pillow_image(name, mode, pictures):
    """Up to the decoders, which round otherwise."""
    found = differences(pictures / name, 96, mode, reduce=False)
    assert abs(found).max() <= 4
    assert abs(found).mean() < (0.3 if name.endswith("jpg") else 0.01)


@MODES
@pytest.mark.parametrize("size", [224, 160, 96, 64, 32])
def test_what_the_decoder_leaves_out_is_not_seen(size, mode, pictures):
    """Crops of 1600 x 1200, read at 1/2 to 1/8."""
    path, read = pictures / "1600.jpg", set()
    for seed in range(8):
        torch.manual_seed(seed)
        expected = torchvisions(path, size, mode)
        torch.manual_seed(seed)
        found, reduction = ours(path, size, mode)
        read.add(reduction)
        difference = abs(found - expected)
        assert difference.mean() < 2
        assert np.percentile(difference, 99) < 8
        assert abs(shift(found, expected)).max() < 0.1
    assert max(read) >= {224: 2, 160: 2, 96: 4, 64: 8, 32: 8}[size]


def test_a_reduced_box_keeps_its_fractions():
    """A ramp of 1 per pixel: a shift of the box by half a pixel is seen as a half."""
    ramp = np.tile(np.arange(100, dtype=np.uint8)[None, :, None] * 2, (100, 1, 3))
    whole = resized_crop(ramp, (10, 10, 90, 90), (40, 40), "bilinear").astype(int)
    moved = resized_crop(ramp, (10.5, 10, 90.5, 90), (40, 40), "bilinear").astype(int)
    assert (moved - whole)[:, 2:-2].mean() == pytest.approx(1, abs=0.05)


def test_the_size_is_known_before_a_jpeg_is_decoded(pictures, monkeypatch):
    data = (pictures / "1600.jpg").read_bytes()
    decoded = []
    decode = cv2.imdecode
    monkeypatch.setattr(
        decoding.cv2, "imdecode", lambda *given: decoded.append(1) or decode(*given)
    )
    stored = StoredImage(data)
    assert stored.shape == (1200, 1600) and not decoded
    pixels, reduction = stored.decoded(8.0)
    assert pixels.shape == (300, 400, 3) and reduction == 4
    png = StoredImage((pictures / "200.png").read_bytes())
    assert png.decoded(8.0)[0].shape == (160, 200, 3) and png.decoded(8.0)[1] == 1


def test_the_orientation_of_exif_data_is_ignored(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    photograph(300, 200).save(tmp_path / "turned.jpg", exif=exif)
    stored = StoredImage((tmp_path / "turned.jpg").read_bytes())
    assert stored.shape == stored.decoded()[0].shape[:2] == (200, 300)
    assert stored.decoded(4.0)[0].shape == (100, 150, 3)


def test_pixels_that_the_dataset_brings_are_not_read_again():
    """Nor written to: they may be a part of a file in memory."""
    pixels = np.asarray(photograph(80, 60))[..., ::-1].copy()
    pixels.setflags(write=False)
    for seed in range(4):
        torch.manual_seed(seed)
        results = LoadResizedCrop(32, flip_prob=0.5)(dict(img_path="nowhere.jpg", img=pixels))
        assert results["ori_shape"] == (60, 80)
        results["img"][:] = 0


@pytest.mark.parametrize("content", [b"", b"text", b"\xff\xd8\xff\xe0\x00\x10JFIF\x00", None])
def test_a_file_that_is_no_image_is_named(content, tmp_path):
    path = tmp_path / "picture.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnreadableImageError, match=r"picture\.jpg cannot be read as an image"):
        LoadResizedCrop(32)(dict(img_path=str(path)))


def test_a_picture_of_too_many_pixels_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    buffer = io.BytesIO()
    photograph(64, 48).save(buffer, "JPEG")
    (tmp_path / "large.jpg").write_bytes(buffer.getvalue())
    with pytest.raises(UnreadableImageError, match=r"large\.jpg cannot be read"):
        LoadResizedCrop(32)(dict(img_path=str(tmp_path / "large.jpg")))


def test_it_goes_before_packing_and_pillow(pictures):
    step, pack = dict(type="LoadResizedCrop", size=32, flip_prob=1.0), dict(type="PackInputs")
    through = [dict(type="NumpyToPIL", to_rgb=True), dict(type="PILToNumpy", to_bgr=True)]
    found = []
    for steps in ([step, pack], [step, *through, pack]):
        torch.manual_seed(0)
        made = Compose([TRANSFORMS.build(entry) for entry in steps])
        found.append(made(dict(img_path=str(pictures / "500.jpg")))["inputs"])
        assert found[-1].shape == (3, 32, 32) and found[-1].is_contiguous()
    assert torch.equal(*found)


def test_other_filters_are_refused():
    with pytest.raises(MaskSSLError, match="interpolation='nearest'.*bilinear or bicubic"):
        LoadResizedCrop(32, interpolation="nearest")
