"""ImageNet's devkit becomes a list, Hugging Face's data sets become folders."""

import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maskssl.cli.data_check import look_at_data
from maskssl.datasets.checks.errors import DataError
from maskssl.datasets.convert import hugging_face
from maskssl.datasets.convert.hugging_face import convert_hugging_face
from maskssl.datasets.convert.imagenet_val import convert_imagenet
from maskssl.datasets.folders import ENDINGS
from tests.cli.test_data_check import FINETUNE, TRAIN, VAL
from tests.cli.test_data_layouts import infos, on

SYNSETS = ("n01", "n02", "n03")
ORDER = ("n03", "n01", "n02", "n00")  # by the devkit's numbers; the last is above the others


@pytest.fixture
def imagenet(tmp_path) -> Path:
    """Three synsets, the flat val folder and the devkit, as the archives unpack."""
    io = pytest.importorskip("scipy.io")
    for name in SYNSETS:
        (tmp_path / "train" / name).mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (8, 8)).save(
                tmp_path / "train" / name / f"{name}_{number}.JPEG", "JPEG"
            )
    (tmp_path / "val").mkdir()
    for number in range(1, 5):
        Image.new("RGB", (8, 8)).save(tmp_path / f"val/ILSVRC2012_val_{number:08d}.JPEG", "JPEG")
    data = tmp_path / "ILSVRC2012_devkit_t12" / "data"
    data.mkdir(parents=True)
    (data / "ILSVRC2012_validation_ground_truth.txt").write_text("1\n2\n3\n1\n")
    fields = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("children", "O")]
    synsets = np.zeros((4, 1), fields)
    for number, name in enumerate(ORDER):
        synsets[number, 0] = (float(number + 1), name, np.zeros((1, 0)))
    io.savemat(data / "meta.mat", dict(synsets=synsets))
    return tmp_path


def test_imagenet_by_its_devkit(imagenet):
    (written,) = convert_imagenet(imagenet).items()
    assert written == (imagenet / "val.txt", (4, 3))
    cfg = on(FINETUNE, f"imagenet:{imagenet}")
    assert [label for _, label in infos(cfg, VAL)] == [2, 0, 1, 2]
    found = look_at_data(cfg, [TRAIN, VAL])
    assert [one.counts for one in found] == [[2, 2, 2], [1, 1, 2]]


def test_a_devkit_that_does_not_fit_is_refused(imagenet):
    (imagenet / "train/n03").rename(imagenet / "n03")
    with pytest.raises(DataError, match="train has no folder n03, nor 0 others of the 3 synsets"):
        convert_imagenet(imagenet)
    (imagenet / "val/ILSVRC2012_val_00000001.JPEG").unlink()
    with pytest.raises(DataError, match="val has 3 images, and .*truth.txt 4 lines"):
        convert_imagenet(imagenet)
    (imagenet / "ILSVRC2012_devkit_t12/data/meta.mat").unlink()
    with pytest.raises(DataError, match=r"there is no .*meta.mat; unpack"):
        convert_imagenet(imagenet)


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(
        DataError, match=r"datasets, .* not installed; .* pip install 'maskssl\[hf\]'"
    ):
        convert_hugging_face(str(tmp_path), tmp_path / "out")


def encoded(colour: tuple[int, int, int], kind: str) -> bytes:
    stream = BytesIO()
    Image.new("RGB", (9, 7), colour).save(stream, kind)
    return stream.getvalue()


def written(path: Path, rows: list[dict], features: Any) -> None:
    """A parquet file with the features in its schema, as the hub has them."""
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.Table.from_pylist(rows, features.arrow_schema), path)


@pytest.fixture
def parquet(tmp_path) -> Path:
    """Two splits of parquet files, images within, labels with names."""
    hf = pytest.importorskip("datasets")
    features = hf.Features(image=hf.Image(), label=hf.ClassLabel(names=["red/warm", "blue"]))
    for split, count in (("train", 3), ("test", 2)):
        rows = [
            dict(
                image=dict(bytes=encoded((number, 0, 0), "PNG" if number else "JPEG"), path=None),
                label=number % 2,
            )
            for number in range(count)
        ]
        (tmp_path / "hub").mkdir(exist_ok=True)
        path = tmp_path / "hub" / f"{split}-00000-of-00001.parquet"
        written(path, rows, features)
    return tmp_path / "hub"


def test_parquet_of_hugging_face(parquet, tmp_path):
    out = tmp_path / "out"
    assert list(convert_hugging_face(str(parquet), out).items()) == [
        (out / "train", (3, 2)),
        (out / "test", (2, 2)),
    ]
    files = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*"))
    assert files == [
        *("test/blue/00000001.png", "test/red_warm/00000000.jpeg", "train/blue/00000001.png"),
        *("train/red_warm/00000000.jpeg", "train/red_warm/00000002.png"),
    ]
    assert (out / files[1]).read_bytes() == encoded((0, 0, 0), "JPEG")  # not encoded anew
    found = look_at_data(on(FINETUNE, f"folders:{out}"), [TRAIN, VAL])
    assert [one.counts for one in found] == [[1, 2], [1, 1]]
    with pytest.raises(DataError, match="is there already"):
        convert_hugging_face(str(parquet), out)


def test_imagefolder_of_hugging_face(tmp_path):
    pytest.importorskip("datasets")
    for split in ("train", "test"):
        for name in ("a", "b"):
            (tmp_path / "in" / split / name).mkdir(parents=True)
            (tmp_path / "in" / split / name / "1.png").write_bytes(encoded((1, 2, 3), "PNG"))
    written = convert_hugging_face(str(tmp_path / "in"), tmp_path / "out")
    assert list(written.values()) == [(2, 2), (2, 2)]


def test_columns_that_are_no_images_and_labels_are_named(tmp_path):
    hf = pytest.importorskip("datasets")
    features = hf.Features(text=hf.Value("string"), label=hf.Value("int64"))
    (tmp_path / "hub").mkdir()
    written(tmp_path / "hub" / "train.parquet", [dict(text="a", label=1)], features)
    with pytest.raises(DataError, match="has the columns text, label, and 0 of the type Image"):
        convert_hugging_face(str(tmp_path / "hub"), tmp_path / "out")


@pytest.mark.parametrize(
    ("stored", "ending"), [("JPEG", ".jpeg"), ("PNG", ".png"), ("WEBP", ".webp"), ("MPO", ".jpeg")]
)
def test_pictures_of_hugging_face_get_an_ending_that_folders_know(stored, ending):
    content = BytesIO()
    Image.new("RGB", (4, 4)).save(content, stored, **dict(save_all=True) if stored == "MPO" else {})
    assert hugging_face._ending(content.getvalue(), "set", 3) == ending
    assert ending in ENDINGS


def test_pictures_that_no_folder_takes_are_refused():
    content = BytesIO()
    Image.new("P", (4, 4)).save(content, "GIF")
    with pytest.raises(DataError, match=r"set: row 3 is a GIF, and pictures in folders end with"):
        hugging_face._ending(content.getvalue(), "set", 3)
