"""Folders as people have them, looked at before the quickstart."""

from pathlib import Path

import pytest

from maskssl.errors import MaskSSLError
from maskssl.quickstart.arrangement import Arrangement
from maskssl.quickstart.images import describe_images
from maskssl.transfer.image_set import labelled_sets


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
    data = describe_images(root)
    assert data.num_images == 6
    arranged = data.labelled["classes"]
    assert arranged.links == {"train": root / train, "val": root / val}
    arranged.write(tmp_path / "out")
    own, tested = labelled_sets(tmp_path / "out")
    assert (own.classes, len(own), len(tested)) == (("a", "b"), 6, 5)


def test_a_test_split_stands_aside_where_there_is_a_val_split(tmp_path):
    root = write(tmp_path, 2, "train/a", "train/b", "val/a", "val/b", "test/unsorted")
    assert describe_images(root).labelled["classes"].links["val"] == root / "val"


@pytest.mark.parametrize(("count", "per_class"), [(2, 1), (3, 1), (4, 1), (5, 1), (10, 2)])
def test_every_class_is_tested_and_names_keep_their_spaces(count, per_class, tmp_path):
    root = write(tmp_path / "d", count, " apple", "pear")
    (root / ".ipynb_checkpoints").mkdir()
    describe_images(root).labelled["classes"].write(tmp_path / "out")
    parts = labelled_sets(tmp_path / "out")
    train, test = (set(part.files) for part in parts)
    assert parts[1].labels.tolist() == [0] * per_class + [1] * per_class
    assert len(train | test) == 2 * count and not train & test
    assert parts[0].classes == (" apple", "pear")
    assert all((tmp_path / "out" / "train" / path).is_file() for path in train)


def test_images_in_any_order_are_pretrained_on_alone(tmp_path):
    write(tmp_path, 3, "photos")
    data = describe_images(tmp_path)
    assert (data.num_images, data.labelled) == (3, {})
    with pytest.raises(MaskSSLError, match="no such folder"):
        describe_images(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MaskSSLError, match="no image below"):
        describe_images(tmp_path / "empty")


def test_names_do_not_lead_out_of_the_folder(tmp_path):
    for name in ("../a.png", "/a.png"):
        with pytest.raises(MaskSSLError, match="leads out of its folder"):
            Arrangement({name: tmp_path}).write(tmp_path / "out")


def test_an_arrangement_is_made_anew(tmp_path):
    """What a former one linked to stays where it is."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.png").touch()
    Arrangement({"old": tmp_path / "mine"}).write(tmp_path / "out")
    Arrangement({"new/a.png": tmp_path / "mine" / "a.png"}, {"x/t": "1"}).write(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["new", "x"]
    assert (tmp_path / "mine" / "a.png").is_file()
    assert (tmp_path / "out" / "x" / "t").read_text() == "1"


def test_classes_that_differ_are_refused(tmp_path):
    write(tmp_path, 2, "train/a", "train/b", "val/a")
    with pytest.raises(MaskSSLError, match=r"2 classes and .*val has 1, or others \(b\)"):
        describe_images(tmp_path)


def test_a_flat_val_folder_is_refused_with_its_ways_out(tmp_path):
    write(tmp_path, 2, "train/a", "train/b", "val")
    with pytest.raises(MaskSSLError, match="val has no class folders, .*sort its images"):
        describe_images(tmp_path)


def test_a_class_without_images_is_refused(tmp_path):
    write(tmp_path / "d", 3, "a", "b")
    write(tmp_path / "d", 0, "plots")
    with pytest.raises(MaskSSLError, match="'plots' has 0 images; it needs 2"):
        describe_images(tmp_path / "d")
