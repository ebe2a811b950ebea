"""Tar shards: what webdataset wrote is read as webdataset reads it, in any order."""

import io
import multiprocessing
import os
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from mmengine import fileio
from mmengine.runner import Runner
from PIL import Image

from maskssl.datasets.index import tar_members
from maskssl.datasets.index.image_index import ImageIndexError
from maskssl.datasets.index.indexed_images import IndexedImages
from maskssl.datasets.index.tar_members import TarMemberError, member_uri
from maskssl.datasets.transforms.loading import LoadImage, UnreadableImageError

NUM_IMAGES = 11


def picture(number: int, form: str = "png") -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def write_tar(path: Path, members: dict[str, bytes], **options: object) -> Path:
    with tarfile.open(path, "w", **options) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def shard(tmp_path) -> Path:
    members = {}
    for number in range(3):
        members[f"k{number}.jpg"] = picture(number, "jpeg")
        members[f"k{number}.cls"] = b"%d\n" % number
    return write_tar(tmp_path / "x.tar", members)


def contents(dataset: IndexedImages) -> list[tuple[bytes, int]]:
    infos = [dataset.get_data_info(number) for number in range(len(dataset))]
    return [(fileio.get(info["img_path"]), info.get("gt_label", -1)) for info in infos]


# as webdataset reads it


def write_shards(folder: Path, keys: list[str]) -> None:
    webdataset = pytest.importorskip("webdataset")
    with webdataset.ShardWriter(f"{folder}/train-%04d.tar", maxcount=4, verbose=0) as writer:
        for number, key in enumerate(keys):
            form = "jpeg" if number % 2 else "png"
            ending = "JPEG" if number % 2 else "png"
            writer.write({"__key__": key, ending: picture(number, form), "cls": number % 5})


@pytest.mark.parametrize("pattern", ["train-*.tar", "train-{0000..0002}.tar"])
def test_shards_of_webdataset_read_as_webdataset_reads_them(pattern, tmp_path):
    webdataset = pytest.importorskip("webdataset")
    # a key too long for a tar header's name, and one that is no ASCII
    keys = [f"n{i:04d}/{'long' * 40 if i == 5 else 'ü'}{i}" for i in range(NUM_IMAGES)]
    write_shards(tmp_path, keys)
    shards = [str(tmp_path / f"train-{number:04d}.tar") for number in range(3)]
    theirs = [
        (sample.get("jpeg") or sample.get("png"), int(sample["cls"]))
        for sample in webdataset.WebDataset(shards, shardshuffle=False)
    ]
    dataset = IndexedImages(data_root=str(tmp_path), data_prefix=pattern)
    assert len(dataset) == NUM_IMAGES
    assert contents(dataset) == theirs
    for number, key in enumerate(keys):
        assert f"#{key}." in dataset.get_data_info(number)["img_path"]


def test_order_does_not_matter_and_the_tarfile_module_agrees(tmp_path):
    write_shards(tmp_path, [f"k{number}" for number in range(NUM_IMAGES)])
    dataset = IndexedImages(data_root=str(tmp_path), data_prefix="train-*.tar")
    for number in np.random.default_rng(0).permutation(NUM_IMAGES):
        with tarfile.open(tmp_path / f"train-{number // 4:04d}.tar") as tar:
            member = tar.extractfile(f"k{number}.{'JPEG' if number % 2 else 'png'}")
            assert fileio.get(dataset.get_data_info(number)["img_path"]) == member.read()


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_form_of_tar_is_read(form, tmp_path):
    members = {f"{'d' * 60}/{'e' * 60}/{n}.png": picture(n) for n in range(3)}
    members["z" * 90 + ".png"] = picture(9)
    path = write_tar(tmp_path / "x.tar", members, format=form)
    dataset = IndexedImages(data_prefix=str(path), with_label=False)
    assert [content for content, _ in contents(dataset)] == list(members.values())


# through the pipeline


@pytest.mark.parametrize("loader", [LoadImage, LoadImageFromFile])
def test_loading_transforms_take_a_member_for_a_file(loader, tmp_path):
    write_tar(tmp_path / "x.tar", {"k.png": picture(3), "k.cls": b"2"})
    dataset = IndexedImages(data_prefix=str(tmp_path / "x.tar"), pipeline=[loader()])
    results = dataset[0]
    expected = np.asarray(Image.open(io.BytesIO(picture(3))))[..., ::-1]
    np.testing.assert_array_equal(results["img"], expected)
    assert results["gt_label"] == 2
    assert os.path.basename(results["img_path"]).startswith("x.tar#")


def test_what_is_no_image_is_named_with_shard_and_member(tmp_path):
    write_tar(tmp_path / "x.tar", {"d/k.png": b"no picture", "d/k.cls": b"2"})
    dataset = IndexedImages(data_prefix=str(tmp_path / "x.tar"), pipeline=[LoadImage()])
    with pytest.raises(UnreadableImageError, match=rf"{tmp_path}/x\.tar#\d+\+10#d/k\.png cannot"):
        dataset[0]


def test_forked_workers_read_by_the_descriptor_of_their_parent(shard):
    dataset = IndexedImages(data_prefix=str(shard))
    expected = contents(dataset)
    context = multiprocessing.get_context("fork")
    with context.Pool(2) as pool:
        paths = [dataset.get_data_info(number % 3)["img_path"] for number in range(60)]
        read = pool.map(fileio.get, paths)
    assert read == [expected[number % 3][0] for number in range(60)]


def test_no_more_shards_stay_open_than_allowed(tmp_path, monkeypatch):
    closed = []
    monkeypatch.setattr(tar_members.os, "close", closed.append)
    tar_members._opened.cache_clear()
    closed.clear()
    for number in range(tar_members._OPEN_SHARDS + 3):
        (tmp_path / f"{number}.tar").write_bytes(b"content")
        assert fileio.get(f"tar://{tmp_path}/{number}.tar#1+3#m") == b"ont"
    assert len(closed) == 3
    monkeypatch.undo()
    for descriptor in closed:
        os.close(descriptor)


# labels and other members


def test_members_that_are_no_image_are_counted_and_said(tmp_path, monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(
        "maskssl.datasets.index.store.print_log", lambda message, *_, **__: said.append(message)
    )
    members = {
        "__meta__": b"{}",
        "a.png": picture(0),
        "a.json": b"{}",
        "a.cls": b"4",
        "only.cls": b"1",
        "b.seg.png": picture(1),
        "README": b"",
        "dir/c.d/e.PNG": picture(2),
        "dir/c.d/e.cls": b"0",
    }
    dataset = IndexedImages(data_prefix=str(write_tar(tmp_path / "x.tar", members)))
    assert contents(dataset) == [(picture(0), 4), (picture(2), 0)]
    assert said[-2].endswith("2 keys have no image, and are skipped.")
    assert "4 members are neither image nor .cls, and are skipped, e.g. __meta__" in said[-1]


def test_images_without_label_serve_without_labels_only(tmp_path):
    write_tar(tmp_path / "x.tar", {"a.png": picture(0), "a.cls": b"1", "b.png": picture(1)})
    assert len(IndexedImages(data_prefix=str(tmp_path / "x.tar"), with_label=False)) == 2
    with pytest.raises(ImageIndexError, match=r"1 of 2 images of .*, the first is b\.png"):
        IndexedImages(data_prefix=str(tmp_path / "x.tar"))


# what is refused


def cut(size: int) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, size)


def damage_header(path: Path) -> None:
    with open(path, "r+b") as file:
        file.seek(1536)
        file.write(b"\xff" * 512)


def append_shard(path: Path) -> None:
    path.write_bytes(path.read_bytes() * 2)


def compress(path: Path) -> None:
    write_tar(path, {"a.png": picture(0)})
    with tarfile.open(path, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("a.png"))


def link(path: Path) -> None:
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo("b.png")
        info.type, info.linkname = tarfile.LNKTYPE, "a.png"
        tar.addfile(info)


def members(**named: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        write_tar(path, {name.replace("_", "."): content for name, content in named.items()})

    return write


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (cut(1024 + 100), "is no whole, uncompressed tar: unexpected end of data"),
        (cut(1536 + 100), "is cut short behind byte 1,536"),  # within a header
        (cut(1536), "is cut short behind byte 1,536"),  # between two members
        (cut(2560), "is cut short behind byte 2,560"),  # behind the last member
        (cut(0), "is no whole, uncompressed tar: empty file"),
        (damage_header, "has something that is no tar header behind byte 1,536"),
        (append_shard, "has something that is no tar header behind byte"),
        (compress, "is no whole, uncompressed tar"),
        (link, "b.png in {shard} is a link or sparse"),
        (members(a_png=b"x", a_cls=b"cat"), "a.cls in {shard} holds b'cat', which is no label"),
        (members(a_png=b"x", a_cls=b"-1"), "holds b'-1', which is no label"),
        (members(a_png=b"x", a_cls=b"2147483648"), "holds b'2147483648', which is no label"),
        (members(a_png=b"x", a_cls=b"9" * 5000), "9', which is no label"),
        (members(a_png=b"x", a_cls=b""), "holds b'', which is no label"),
        (members(a_png=b"x", a_jpg=b"x"), "two images of the key 'a': a.png and a.jpg"),
        (members(a_txt=b"x"), "lists no image. 1 keys have no image"),
    ],
)
def test_a_bad_shard_is_refused_when_it_is_indexed(spoil, message, tmp_path):
    path = write_tar(tmp_path / "x.tar", {"a.png": b"x" * 900, "b.png": b"y"})
    spoil(path)
    with pytest.raises(ImageIndexError, match=re.escape(message.format(shard=path))):
        IndexedImages(data_prefix=str(path), with_label=False)
    assert os.listdir(tmp_path) == ["x.tar"]


def test_a_missing_shard_is_refused(shard, tmp_path):
    with pytest.raises(ImageIndexError, match=r"2 of 3 tar shards are at .*/[yx]1\.tar; give"):
        shard.rename(tmp_path / "x0.tar")
        IndexedImages(data_root=str(tmp_path), data_prefix="x{0..2}.tar")


@pytest.mark.parametrize("change", ["written", "added"])
def test_the_index_of_changed_shards_is_built_anew(change, shard, tmp_path):
    options = dict(data_root=str(tmp_path), data_prefix="*.tar")
    assert len(IndexedImages(**options)) == 3
    name = "x.tar" if change == "written" else "y.tar"
    write_tar(tmp_path / name, {"new.png": picture(7), "new.cls": b"7"})
    read = contents(IndexedImages(**options))
    assert len(read) == (1 if change == "written" else 4)
    assert read[-1] == (picture(7), 7)


def test_a_member_that_is_gone_is_named(shard):
    uri = IndexedImages(data_prefix=str(shard)).get_data_info(2)["img_path"]
    tar_members._opened.cache_clear()
    os.truncate(shard, 100)
    with pytest.raises(TarMemberError, match=rf"{shard} ends within k2\.jpg: 0 of"):
        fileio.get(uri)
    tar_members._opened.cache_clear()
    shard.unlink()
    with pytest.raises(TarMemberError, match=rf"k2\.jpg in {shard} cannot be read \(No such"):
        fileio.get(uri)


@pytest.mark.parametrize(
    ("shard", "member"), [("a#b.tar", "m"), ("a://b.tar", "m"), ("a.tar", "m://n")]
)
def test_names_that_make_no_address_are_refused(shard, member):
    with pytest.raises(TarMemberError, match="rename it"):
        member_uri(shard, 0, 1, member)


def test_what_is_no_address_is_refused():
    with pytest.raises(TarMemberError, match="tar://x is no address"):
        fileio.get("tar://x")


def test_runner_loads_shards_with_workers(tmp_path):
    write_tar(tmp_path / "x.tar", {f"k{n}.png": picture(n) for n in range(7)})
    pipeline = [dict(type="LoadImage"), dict(type="PackInputs")]
    dataset = dict(
        type="IndexedImages",
        data_root=str(tmp_path),
        data_prefix="*.tar",
        with_label=False,
        pipeline=pipeline,
        _scope_="mmpretrain",
    )
    loader = Runner.build_dataloader(
        dict(
            batch_size=3,
            num_workers=2,
            sampler=dict(type="DefaultSampler", shuffle=True),
            collate_fn=dict(type="default_collate"),
            dataset=dataset,
        ),
        seed=0,
    )
    batches = [batch["inputs"] for batch in loader]
    assert [len(batch) for batch in batches] == [3, 3, 1]
    read = {tuple(image.flatten().tolist()) for batch in batches for image in batch}
    bgr = [np.asarray(Image.open(io.BytesIO(picture(n))))[..., ::-1] for n in range(7)]
    assert read == {tuple(image.transpose(2, 0, 1).flatten().tolist()) for image in bgr}
