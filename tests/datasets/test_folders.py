"""One walk decides what a folder holds."""

import os
from pathlib import Path

import pytest

from maskssl.datasets.folders import (
    FolderError,
    ImageWalk,
    holds_images,
    image_files,
    innermost,
    is_url,
    split_folders,
    split_of,
    subfolders,
)
from maskssl.datasets.index.sources import ImageFolder, source_at
from maskssl.errors import MaskSSLError


def write(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.fixture
def messy(tmp_path):
    root = write(
        tmp_path / "images",
        *("a/1.webp", "a/2.TIFF", " b/c d, e.jpg", " b/deep/er/x.png"),
        *(".ipynb_checkpoints/1.jpg", "__MACOSX/a/._1.jpg", "a/._1.webp", "a/Thumbs.db"),
        *("a/notes.txt", "elsewhere.txt"),
    )
    write(tmp_path / "far", "c/9.bmp")
    (root / "c").symlink_to(tmp_path / "far" / "c")
    (root / "lost.jpg").symlink_to(tmp_path / "nowhere.jpg")
    return root


FOUND = [" b/c d, e.jpg", " b/deep/er/x.png", "a/1.webp", "a/2.TIFF", "c/9.bmp"]


def test_looking_counting_and_indexing_find_the_same(messy):
    assert list(ImageWalk(messy).images()) == FOUND
    assert list(image_files(messy)) == [messy / name for name in FOUND]
    entries = list(ImageFolder(str(messy)).entries(lambda share, images: None))
    assert entries == [(name.encode(), " ac".index(name[0])) for name in FOUND]
    assert subfolders(messy) == [" b", "a", "c"]
    assert holds_images(messy) and not holds_images(messy / "__MACOSX")


def test_what_is_skipped_is_counted_by_reason(messy):
    walk = ImageWalk(messy)
    list(walk.images())
    hidden, other, lost = walk.notes()
    assert hidden.startswith("4 hidden entries are skipped, e.g. ")
    assert other.startswith("2 files end with none of .jpg, ")
    assert "a/notes.txt" in other and "elsewhere.txt" in other
    assert lost == "1 links lead to no file, and are skipped, e.g. lost.jpg."


def test_a_loop_of_links_is_refused(messy):
    (messy / "a" / "up").symlink_to(messy)
    with pytest.raises(FolderError, match="a/up/ links to a folder above it; remove the link"):
        list(ImageWalk(messy).images())


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *(
            ("train", "train"),
            ("Training", "train"),
            ("seg_train", "train"),
            ("train2017", "train"),
        ),
        *(("valid", "val"), ("validation", "val"), ("Testing", "test"), ("seg_test", "test")),
        *(("trainval", None), ("train_val", None), ("trainer", None), ("contest", None)),
    ],
)
def test_usual_names_of_splits_are_known(name, split):
    assert split_of(name) == split


def test_splits_are_found_in_folders_as_they_are_unpacked(tmp_path):
    root = write(tmp_path, "x/seg_train/seg_train/a/1.jpg", "x/seg_test/seg_test/a/1.jpg")
    assert split_folders(root) == dict(
        train=root / "x/seg_train/seg_train", test=root / "x/seg_test/seg_test"
    )
    assert innermost(root) == root / "x"


def test_classes_that_are_named_like_a_split_are_classes(tmp_path):
    write(tmp_path, "train/1.jpg", "bus/1.jpg", "train_station/1.jpg")
    assert split_folders(tmp_path) == {}
    write(tmp_path, "test/1.jpg")
    with pytest.raises(FolderError, match="2 folders named for train: train, train_station"):
        split_folders(tmp_path)


def test_urls_are_told_from_paths_and_cannot_be_listed():
    assert is_url("s3://bucket/train") and is_url("cluster:s3://b") and not is_url("/a:b/c")
    with pytest.raises(MaskSSLError, match="s3://b/train is no local path.*give ann_file"):
        source_at("s3://b/train")


def test_names_that_are_no_text_are_walked(tmp_path):
    name = os.fsdecode(b"a/\xe4.jpg")
    write(tmp_path, name)
    assert list(ImageWalk(tmp_path).images()) == [name]


def test_thumbnails_of_a_store_are_no_class(tmp_path):
    for name in ("@eaDir/1.jpg", "a/1.jpg", "a/@eaDir/2.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [path.relative_to(tmp_path).as_posix() for path in image_files(tmp_path)] == ["a/1.jpg"]
