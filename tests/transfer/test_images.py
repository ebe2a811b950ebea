"""Folders as people have them, looked at before the quickstart."""

from pathlib import Path

import pytest

from maskssl.datasets.index.sources import ListFile
from maskssl.errors import MaskSSLError
from maskssl.transfer.images import describe_images


def write(root: Path, count: int, *classes: str) -> Path:
    for name in classes:
        (root / name).mkdir(parents=True)
        for number in range(count):
            (root / name / f"{number} x.webp").touch()
    return root


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ("train", "val"),
        ("Training", "Testing"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("top/train", "top/valid"),
    ],
)
def test_splits_of_any_usual_name(train, val, tmp_path):
    root = write(tmp_path / "My Photos, 2023 (ä)", 3, f"{train}/a", f"{train}/b", f"{val}/a")
    write(root, 2, f"{val}/b")
    data = describe_images(root, tmp_path / "lists")
    assert (data.num_images, data.num_classes, data.lists) == (6, 2, {})
    assert data.options("x", "train") == {
        "x.dataset.data_root": str(root),
        "x.dataset.data_prefix": str(root / train),
        "x.dataset.ann_file": "",
    }
    assert data.options("x", "val")["x.dataset.data_prefix"] == str(root / val)


def test_a_test_split_stands_aside_where_there_is_a_val_split(tmp_path):
    root = write(tmp_path, 2, "train/a", "train/b", "val/a", "val/b", "test/unsorted")
    assert describe_images(root, tmp_path / "lists").val == str(root / "val")


@pytest.mark.parametrize(("count", "per_class"), [(2, 1), (3, 1), (4, 1), (5, 1), (10, 2)])
def test_every_class_validates_and_names_keep_their_spaces(count, per_class, tmp_path):
    root = write(tmp_path / "d", count, " apple", "pear")
    (root / ".ipynb_checkpoints").mkdir()
    data = describe_images(root, tmp_path / "lists")
    data.write_lists()
    lists = {}
    for part in ("train", "val"):
        entries = list(ListFile(getattr(data, part)).entries(lambda share, images: None))
        lists[part] = {(root / path.decode(), label) for path, label in entries}
        assert all(path.exists() for path, _ in lists[part])
    assert sorted(label for _, label in lists["val"]) == [0] * per_class + [1] * per_class
    assert len(lists["train"] | lists["val"]) == 2 * count
    assert not lists["train"] & lists["val"]


def test_classes_that_differ_are_refused(tmp_path):
    write(tmp_path, 2, "train/a", "train/b", "val/a")
    with pytest.raises(MaskSSLError, match=r"2 classes and .*val has 1, or others \(b\)"):
        describe_images(tmp_path, tmp_path / "lists")


def test_a_flat_val_folder_is_refused_with_its_ways_out(tmp_path):
    write(tmp_path, 2, "train/a", "train/b", "val")
    with pytest.raises(MaskSSLError, match="val has no class folders, .*sort its images"):
        describe_images(tmp_path, tmp_path / "lists")


def test_a_class_without_images_is_refused(tmp_path):
    write(tmp_path / "d", 3, "a", "b")
    write(tmp_path / "d", 0, "plots")
    with pytest.raises(MaskSSLError, match="'plots' has 0 images; it needs 2"):
        describe_images(tmp_path / "d", tmp_path / "lists")
