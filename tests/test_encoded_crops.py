"""Crops that the model's device decodes: the loader's crops, from its draws, file by file."""

import io

import matplotlib.cbook
import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import io as decoders
from torchvision import transforms as tv
from torchvision.transforms import InterpolationMode

from maskssl import encoded_crops
from maskssl.cli.benchmark.images import shift
from maskssl.datasets.transforms.load_encoded_crop import LoadEncodedCrop
from maskssl.datasets.transforms.load_resized_crop import LoadResizedCrop
from maskssl.datasets.transforms.loading import UnreadableImageError
from maskssl.encoded_crops import EncodedCrops
from maskssl.errors import MaskSSLError
from tests.datasets.test_load_resized_crop import MODES, photograph

CPU = torch.device("cpu")
SIZE = 96


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    with Image.open(matplotlib.cbook.get_sample_data("grace_hopper.jpg")) as image:
        image.save(folder / "real.jpg", quality="keep")
    for seed, (width, height) in enumerate([(1600, 1200), (500, 375), (300, 450)]):
        photograph(width, height, seed).save(folder / f"{width}.jpg", quality=92)
    photograph(500, 375, 3).save(folder / "progressive.jpg", quality=92, progressive=True)
    photograph(200, 160, 4).convert("L").save(folder / "grey.jpg")
    edges = photograph(300, 200, 8).point(lambda value: 255 * (value > 128))  # filters overshoot
    edges.save(folder / "edges.jpg", quality=95)
    exif = Image.Exif()
    exif[0x0112] = 6
    photograph(300, 200, 5).save(folder / "turned.jpg", exif=exif, quality=92)
    photograph(200, 160, 6).save(folder / "drawn.png")
    photograph(200, 160, 7).convert("CMYK").save(folder / "print.jpg", quality=92)
    return folder


def paths_of(folder):
    return sorted(str(path) for path in folder.iterdir())


def both_ways(paths, size=SIZE, **options):
    """Crops that the loader makes, and the same left to the device, with what is drawn after."""
    found = []
    for kind in (LoadResizedCrop, LoadEncodedCrop):
        load = kind(size, (0.2, 1.0), flip_on_device=True, flip_prob=0.5, **options)
        results = []
        for seed, path in enumerate(paths):
            torch.manual_seed(seed)
            results.append({**load(dict(img_path=path)), "next": torch.rand(1)})
        found.append(results)
    return found


def batch_of(results) -> EncodedCrops:
    return default_collate([dict(images=one["img"]) for one in results])["images"]


@MODES
@pytest.mark.parametrize("size", [224, 96, 32])
def test_crops_are_torchvisions_on_pillow_images(size, mode, folder):
    """The decoder has a rounding of its own; what the loader decodes is what it was."""
    paths = paths_of(folder) * 3
    loaded, left = both_ways(paths, size, interpolation=mode)
    crops, elsewhere = batch_of(left).decoded(CPU)
    assert crops.dtype == torch.uint8 and crops.shape == (len(paths), 3, size, size)
    crop = tv.RandomResizedCrop(size, (0.2, 1.0), interpolation=InterpolationMode(mode))
    seen = 0
    for seed, (path, one, found) in enumerate(zip(paths, loaded, crops.numpy(), strict=True)):
        if path.endswith(("drawn.png", "print.jpg")):
            assert (one["img"].transpose(2, 0, 1) == found).all()
            continue
        torch.manual_seed(seed)
        with Image.open(path) as image:
            expected = np.asarray(crop(image.convert("RGB")))[..., ::-1].astype(float)
        found = found.transpose(1, 2, 0)
        difference = abs(found - expected)
        # of black and white alone Pillow cuts off what overshoots twice, in each direction
        mean, p99 = (1, 16) if path.endswith("edges.jpg") else (0.3, 3)
        assert difference.mean() < mean and np.percentile(difference, 99) < p99, path
        assert abs(shift(found[..., ::-1].astype(float), expected[..., ::-1])).max() < 0.1
        seen += 1
    assert seen == 24
    assert [line.split("/")[-1] for line in elsewhere] == [
        "drawn.png (no plain JPEG)",
        "print.jpg (no plain JPEG)",
    ] * 3


def test_draws_and_shapes_are_the_loaders(folder):
    for one, other in zip(*both_ways(paths_of(folder) * 5), strict=True):
        assert one["drawn"] == other["drawn"] and torch.equal(one["next"], other["next"])
        assert one["ori_shape"] == other["ori_shape"]
        assert one["img_shape"] == other["img_shape"] == (SIZE, SIZE)


def test_an_image_is_the_same_in_any_batch_and_twice_in_one(folder, monkeypatch):
    """Many are decoded in turns, so that memory is bounded."""
    _, left = both_ways(paths_of(folder))
    alone = torch.cat([batch_of([one]).decoded(CPU)[0] for one in left])
    torch.testing.assert_close(batch_of(left).decoded(CPU)[0], alone, rtol=0, atol=0)
    again = batch_of([left[1], left[4], left[1]]).decoded(CPU)[0]
    torch.testing.assert_close(again, alone[[1, 4, 1]], rtol=0, atol=0)
    calls, decode = [], decoders.decode_jpeg
    monkeypatch.setattr(
        decoders, "decode_jpeg", lambda files, *how: calls.append(len(files)) or decode(files, *how)
    )
    monkeypatch.setattr(encoded_crops, "_PIXELS_AT_ONCE", 500 * 375)
    torch.testing.assert_close(batch_of(left).decoded(CPU)[0], alone, rtol=0, atol=0)
    assert sum(calls) == 8 and len(calls) > 3


class Images(torch.utils.data.Dataset):
    def __init__(self, left):
        self.left = left

    def __len__(self):
        return len(self.left)

    def __getitem__(self, number):
        return dict(images=self.left[number]["img"])


def test_a_batch_comes_whole_from_workers(folder):
    _, left = both_ways(paths_of(folder))
    loader = DataLoader(Images(left), batch_size=4, num_workers=2, collate_fn=default_collate)
    crops = torch.cat([batch["images"].decoded(CPU)[0] for batch in loader])
    assert torch.equal(crops, batch_of(left).decoded(CPU)[0])


def test_bytes_alone_are_pinned(folder, monkeypatch):
    """As a loader's thread does it, of memory that stands for pinned memory."""
    batch, pinned = batch_of(both_ways(paths_of(folder))[1]), []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda data: pinned.append(data) or data + 0)
    found = torch.utils.data._utils.pin_memory.pin_memory(dict(images=batch))["images"]
    assert [tensor is batch.data for tensor in pinned] == [True]
    assert found.data is not batch.data and torch.equal(found.data, batch.data)
    assert found.paths == batch.paths and found.lengths is batch.lengths


def encoded(image, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def test_a_file_that_is_cut_off_is_refused_by_the_loader(tmp_path):
    """Which takes another image in its place."""
    data = encoded(photograph(300, 200))
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(UnreadableImageError, match=r"cut\.jpg cannot be read as an image"):
        LoadEncodedCrop(SIZE)(dict(img_path=str(tmp_path / "cut.jpg")))


def test_zeros_behind_a_file_do_not_matter_and_colours_of_other_kinds_do(tmp_path):
    image = photograph(80, 60)
    (tmp_path / "a.jpg").write_bytes(encoded(image) + bytes(5))
    # red, green and blue themselves; Pillow says so by Adobe's marker
    (tmp_path / "b.jpg").write_bytes(encoded(image, keep_rgb=True))
    inks = bytearray(encoded(image.convert("CMYK")))
    inks[inks.index(b"Adobe") + 11] = 2  # inks as luma, chroma and black
    (tmp_path / "c.jpg").write_bytes(inks)
    crops = [LoadEncodedCrop(SIZE)(dict(img_path=path))["img"] for path in paths_of(tmp_path)]
    assert [bool(crop.boxes.any()) for crop in crops] == [True, False, False]


def test_a_file_with_broken_tables_is_named(tmp_path, folder):
    data = bytearray(encoded(photograph(300, 200)))
    table = data.index(b"\xff\xc4")
    data[table + 5 : table + 21] = b"\xff" * 16
    (tmp_path / "broken.jpg").write_bytes(data)
    paths = [str(folder / "500.jpg"), str(tmp_path / "broken.jpg"), str(folder / "drawn.png")]
    batch = batch_of([LoadEncodedCrop(SIZE)(dict(img_path=path)) for path in paths])
    with pytest.raises(MaskSSLError, match=r"broken\.jpg cannot be decoded \(.*Huffman.*replace"):
        batch.decoded(CPU)


def test_what_the_device_refuses_comes_up_on_the_host(folder, monkeypatch):
    """nvJPEG knows fewer kinds of files, and does not say which one of a batch it refuses."""
    paths = [str(folder / name) for name in ("500.jpg", "300.jpg", "grey.jpg")]
    batch = batch_of(both_ways(paths)[1])
    expected, none = batch.decoded(CPU)
    assert none == []
    odd, decode = batch.data.split(batch.lengths.tolist())[1], decoders.decode_jpeg

    def refusing(files, mode, device):
        if device != encoded_crops._CPU and any(torch.equal(file, odd) for file in files):
            raise RuntimeError("Unknown chroma subsampling")
        return decode(files, mode, device)

    monkeypatch.setattr(decoders, "decode_jpeg", refusing)
    found, elsewhere = batch.decoded(torch.device("cpu", 0))  # a device other than the host
    assert torch.equal(found, expected)
    assert elsewhere == [f"{paths[1]} (Unknown chroma subsampling)"]


def test_a_torchvision_without_nvjpeg_is_told(folder, monkeypatch):
    def refusing(files, mode, device):
        raise RuntimeError("decode_jpegs_cuda: torchvision not compiled with nvJPEG support")

    batch = batch_of(both_ways([str(folder / "500.jpg")])[1])
    monkeypatch.setattr(decoders, "decode_jpeg", refusing)
    encoded_crops._check.cache_clear()
    with pytest.raises(MaskSSLError, match=r"decodes no JPEG on cpu .*nvJPEG.*built with nvJPEG"):
        batch.decoded(CPU)


def test_memory_that_runs_out_is_no_fault_of_a_file(folder, monkeypatch):
    batch = batch_of(both_ways([str(folder / "500.jpg")])[1])
    batch.decoded(CPU)

    calls = []

    def full(files, mode, device):
        calls.append(files)
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(decoders, "decode_jpeg", full)
    with pytest.raises(torch.OutOfMemoryError):
        batch.decoded(CPU)
    assert len(calls) == 1
