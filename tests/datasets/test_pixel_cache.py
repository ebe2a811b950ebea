"""A cache has the images of its data set, whole or not at all, and is known to be of it."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from maskssl.cli import cache as making
from maskssl.cli.cache import check_cache, estimate, make_cache, told_beforehand
from maskssl.datasets.cache import pixel_cache
from maskssl.datasets.cache.pixel_cache import CacheError, PixelCache, working_size
from maskssl.datasets.decoding import StoredImage
from maskssl.datasets.draws.draw import Draw
from maskssl.datasets.draws.seeded_dataset import SeededDataset
from maskssl.datasets.index.indexed_images import IndexedImages
from maskssl.datasets.transforms.loading import LoadImage, UnreadableImageError
from tests.datasets.test_load_resized_crop import photograph
from tests.killing import killed_after

SIZES = [(90, 60), (60, 90), (40, 30), (64, 64), (200, 70), (50, 50), (70, 80)]
PIPELINE = [
    dict(type="LoadResizedCrop", size=16, scale=(0.2, 1.0), flip_prob=0.5),
    dict(type="PackInputs"),
]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Seven images make three parts."""
    for module in (pixel_cache, making):
        monkeypatch.setattr(module, "IMAGES_PER_PART", 3)


@pytest.fixture
def folder(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for number, size in enumerate(SIZES):
        photograph(*size, number).save(images / f"{number}.jpg", quality=95)
    return images


def images(folder: Path, **options) -> IndexedImages:
    return IndexedImages(
        data_prefix=str(folder), with_label=False, **{"pipeline": PIPELINE, **options}
    )


def make(folder: Path, out: Path, short_side: int = 48, workers: int = 1) -> int:
    return make_cache(images(folder).whole(), out, short_side, workers, lambda *_: None)


def test_images_at_their_working_size(folder, tmp_path):
    out = tmp_path / "cache"
    assert make(folder, out) == 0
    cache = PixelCache(out)
    assert [pixels.shape[1::-1] for pixels in map(cache.__getitem__, range(7))] == [
        *[(72, 48), (48, 72), (40, 30), (48, 48), (137, 48), (48, 48), (48, 55)]
    ]
    for number in range(7):
        path = str(folder / f"{number}.jpg")
        np.testing.assert_array_equal(cache[number], working_size(path, 48))
    small = StoredImage((folder / "2.jpg").read_bytes()).decoded()[0]
    np.testing.assert_array_equal(cache[2], small)  # none is enlarged
    assert not cache[0].flags.writeable
    assert sorted(path.name for path in out.glob("*.pixels")) == [
        f"part-0000{n}.pixels" for n in range(3)
    ]


def test_samples_from_the_cache_are_crops_of_its_images(folder, tmp_path):
    """With the draws of (seed, epoch, image), in any number of loader processes."""
    out = tmp_path / "cache"
    make(folder, out, short_side=1000)  # nothing shrinks: the same pixels in another place
    plain, cached = images(folder), images(folder, cache=str(out))
    draws = [Draw(epoch, number) for epoch in range(2) for number in range(7)]
    expected = [SeededDataset(plain, seed=3)[draw]["inputs"] for draw in draws]
    for path in folder.glob("*.jpg"):
        path.write_bytes(b"nothing is read from here")
    for workers in (0, 2):
        loader = DataLoader(
            SeededDataset(cached, seed=3), sampler=draws, num_workers=workers, batch_size=None
        )
        for found, image in zip(loader, expected, strict=True):
            assert torch.equal(found["inputs"], image)


def test_other_loading_reads_the_cache_too(folder, tmp_path):
    make(folder, tmp_path / "cache")
    dataset = images(folder, cache=str(tmp_path / "cache"), pipeline=[dict(type="LoadImage")])
    sample = dataset[4]
    np.testing.assert_array_equal(sample["img"], PixelCache(tmp_path / "cache")[4])
    assert sample["img_shape"] == sample["ori_shape"] == (48, 137)
    sample["img"][:] = 0  # a copy
    assert dataset[4]["img"].any()
    path = str(folder / "4.jpg")
    assert LoadImage()(dict(img_path=path))["img"].shape == (70, 200, 3)


def test_a_subset_has_its_own_images(folder, tmp_path):
    make(folder, tmp_path / "cache")
    subset = images(
        folder, cache=str(tmp_path / "cache"), indices=[5, 2], pipeline=[dict(type="LoadImage")]
    )
    cache = PixelCache(tmp_path / "cache")
    for place, number in enumerate((5, 2)):
        np.testing.assert_array_equal(subset[place]["img"], cache[number])
    copied = copy.deepcopy(subset)  # by its pickled form, as spawned processes get it
    np.testing.assert_array_equal(copied[1]["img"], cache[2])


def test_an_image_that_cannot_be_read_is_named_and_replaced_as_ever(folder, tmp_path):
    (folder / "4.jpg").write_bytes(b"no picture")
    assert make(folder, tmp_path / "cache") == 1
    cached = images(folder, cache=str(tmp_path / "cache"))
    with pytest.raises(UnreadableImageError, match=r"4\.jpg cannot be read as an image"):
        cached[4]
    drawn = SeededDataset(cached, seed=0, folder=tmp_path)
    assert drawn[Draw(0, 4)]["inputs"].shape == (3, 16, 16)
    told = json.loads((tmp_path / "unreadable_images.jsonl").read_text())
    assert told["tried"] == 4 and "4.jpg" in told["message"]
    assert len(PixelCache(tmp_path / "cache")) == 7 and PixelCache(tmp_path / "cache")[5].any()


def test_killed_at_any_moment_it_goes_on(folder, tmp_path):
    """SIGKILL while parts are written: what is there is whole, and the end is the same."""
    dataset = images(folder).whole()
    make(folder, tmp_path / "whole")
    expected = PixelCache(tmp_path / "whole")
    paths = [
        [dataset.get_data_info(n)["img_path"] for n in part] for part in pixel_cache.parts_of(7)
    ]

    def write(out: Path) -> None:
        out.mkdir(exist_ok=True)
        for number, part in enumerate(paths):
            pixel_cache.write_part(out, number, part, 48)
        pixel_cache.write_header(out, expected.header["data_hash"], 7, 48)

    killed, lines = True, 0
    while killed:
        out = tmp_path / str(lines)
        killed = killed_after(lines, lambda out=out: write(out), [pixel_cache])
        if killed:
            with pytest.raises(CacheError, match="not whole"):
                PixelCache(out)
        before = {path: path.stat().st_mtime_ns for path in out.glob("*.json")}
        write(out)
        assert all(path.stat().st_mtime_ns == time for path, time in before.items() if killed)
        found = PixelCache(out)
        found.check()
        assert all(np.array_equal(found[n], expected[n]) for n in range(7))
        assert not list(out.glob(".*part"))
        lines += 7
    assert lines > 60


def test_a_cache_of_other_images_is_refused(folder, tmp_path):
    out = tmp_path / "cache"
    make(folder, out)
    photograph(30, 30).save(folder / "another.jpg")
    with pytest.raises(CacheError, match="cache of other images, or of another order"):
        images(folder, cache=str(out))
    with pytest.raises(CacheError, match="give another folder"):
        make(folder, out)
    with pytest.raises(CacheError, match=r"cache\.json is missing.*run maskssl cache until"):
        images(folder, cache=str(tmp_path))


def test_another_size_goes_to_another_folder(folder, tmp_path):
    make(folder, tmp_path / "cache")
    with pytest.raises(CacheError, match="another size; give another folder"):
        make(folder, tmp_path / "cache", short_side=32)


def test_damage_is_found_and_mended(folder, tmp_path):
    out = tmp_path / "cache"
    make(folder, out)
    dataset = images(folder).whole()
    check_cache(dataset, out)
    part = out / "part-00001.pixels"
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    with pytest.raises(CacheError, match=r"part-00001\.pixels is damaged; remove part-00001\.json"):
        check_cache(dataset, out)
    (out / "part-00001.json").unlink()
    make(folder, out)
    check_cache(dataset, out)
    part.write_bytes(b"short")
    with pytest.raises(CacheError, match="has not the length"):
        PixelCache(out)[3]


def test_the_cost_is_told_beforehand(folder, tmp_path):
    dataset = images(folder).whole()
    found = estimate(dataset, 48)
    make(folder, tmp_path / "cache")
    written = sum(path.stat().st_size for path in (tmp_path / "cache").glob("*.pixels"))
    assert found.bytes == pytest.approx(written)
    assert found.seconds > 0
    text = told_beforehand(making.Estimate(2_500_000_000, 7200.0), 7, tmp_path / "new" / "x", 4)
    assert text.startswith("about 2.5 GB for 7 images, 30 min with 4 processes")
    with pytest.raises(CacheError, match=r"about 1,000,000\.0 GB for 7 images, and .* GB are free"):
        told_beforehand(making.Estimate(10**15, 1.0), 7, tmp_path, 1)


def test_several_processes_write_the_same_cache(folder, tmp_path):
    make(folder, tmp_path / "one")
    make(folder, tmp_path / "two", workers=2)
    one, two = (PixelCache(tmp_path / name) for name in ("one", "two"))
    assert all(np.array_equal(one[n], two[n]) for n in range(7))


def test_working_sizes_are_pillows_bicubic(folder, tmp_path):
    """With the smoothing that Pillow has where it shrinks; the filter is part of VERSION."""
    image = photograph(200, 70, 4)
    image.save(tmp_path / "a.png")
    found = working_size(str(tmp_path / "a.png"), 35)[..., ::-1].astype(int)
    off = {
        name: abs(found - np.asarray(image.resize((100, 35), filter)).astype(int))
        for name, filter in Image.Resampling.__members__.items()
    }
    assert off["BICUBIC"].max() <= 1
    assert min(other.mean() for name, other in off.items() if name != "BICUBIC") > 0.3


def test_a_cache_of_another_version_is_refused_and_not_gone_on_with(folder, tmp_path, monkeypatch):
    out = tmp_path / "cache"
    make(folder, out)
    header = json.loads((out / "cache.json").read_text())
    assert header["version"] == pixel_cache.VERSION
    (out / "cache.json").write_text(json.dumps(dict(header, version=99)))
    with pytest.raises(CacheError, match=r"is a cache of version 99, and 1 is read here; make it"):
        images(folder, cache=str(out))
    make(folder, out)  # as it is whole, of this version
    monkeypatch.setattr(making, "VERSION", 2)
    with pytest.raises(CacheError, match="of another version of maskssl .* give another folder"):
        make(folder, out)
    make(folder, tmp_path / "new")
    make(folder, tmp_path / "new")
