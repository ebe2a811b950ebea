"""YOLO's text and VOC's XML become COCO files that detection reads as they are."""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskssl.cli.data_check import look_at_data
from maskssl.commands import convert
from maskssl.datasets.checks.errors import DataError
from maskssl.datasets.convert.coco_writer import Object
from maskssl.datasets.convert.voc import convert_voc
from maskssl.datasets.convert.yolo import convert_yolo
from maskssl.errors import MaskSSLError
from tests.cli.test_data_check import DET, TRAIN, VAL
from tests.cli.test_data_layouts import on
from tests.datasets.checks.sets import SIDE, turn, write_dense

WIDTH = SIDE + 16
NAMES = ("red", "green")


@pytest.fixture
def dense(tmp_path) -> Path:
    return write_dense(tmp_path / "dense")


def yolo(root: Path, dense: Path, polygons: bool = False, train: str = "images/train") -> Path:
    """A YOLO set of the dense set's squares."""
    for split, short in (("training", "train"), ("validation", "val")):
        shutil.copytree(dense / "images" / split, root / "images" / short)
        coco = json.loads((dense / f"instances_{split}.json").read_text())
        (root / "labels" / short).mkdir(parents=True)
        for image in coco["images"]:
            lines = []
            for found in coco["annotations"]:
                if found["image_id"] == image["id"]:
                    x, y, w, h = found["bbox"]
                    box = [(x + w / 2) / WIDTH, (y + h / 2) / SIDE, w / WIDTH, h / SIDE]
                    corners = np.array(found["segmentation"][0]).reshape(4, 2) / (WIDTH, SIDE)
                    numbers = corners.ravel() if polygons else box
                    label = 0 if found["category_id"] == 3 else 1
                    lines.append(" ".join(map(str, [label, *numbers])))
            name = Path(image["file_name"]).stem
            (root / "labels" / short / f"{name}.txt").write_text("\n".join(lines))
    (root / "data.yaml").write_text(
        f"train: {train}\nval: images/val\nnames:\n  1: green\n  0: red\n"
    )
    return root


def boxes(path: Path) -> list[tuple]:
    coco = json.loads(path.read_text())
    names = {entry["id"]: entry["name"] for entry in coco["categories"]}
    files = {entry["id"]: Path(entry["file_name"]).name for entry in coco["images"]}
    return sorted(
        (
            files[o["image_id"]],
            names[o["category_id"]],
            *np.round(o["bbox"], 6),
            round(o["area"], 6),
        )
        for o in coco["annotations"]
    )


@pytest.mark.parametrize("polygons", [False, True])
@pytest.mark.parametrize(
    "train", ["images/train", "../images/train", "train.txt", "[images/train]"]
)
def test_yolo(polygons, train, dense, tmp_path):
    root = yolo(tmp_path / "My set, 1", dense, polygons, train)
    (root / "train.txt").write_text("".join(f"./images/train/{n:03d}.jpg\n" for n in range(4)))
    written = convert_yolo(root)
    assert list(written.values()) == [(4, 8), (2, 4)]
    for (path, _), split in zip(written.items(), ("training", "validation"), strict=True):
        assert boxes(path) == boxes(dense / f"instances_{split}.json")
    found = look_at_data(on(DET, f"coco:{root}", boxes_only=not polygons), [TRAIN, VAL])
    assert [one.counts for one in found] == [[4, 4], [2, 2]] and found[0].classes == NAMES
    with pytest.raises(DataError, match=r"instances_train.json is there already; remove it"):
        convert_yolo(root)


def test_a_picture_without_labels_has_no_objects(dense, tmp_path):
    root = yolo(tmp_path / "set", dense)
    (root / "labels/train/001.txt").unlink()
    assert list(convert_yolo(root).values()) == [(4, 6), (2, 4)]


def test_yolo_draws_on_the_upright_picture(dense, tmp_path):
    root = yolo(tmp_path / "set", dense)
    turn(root / "images/train/000.jpg", 6)
    (path, *_) = convert_yolo(root)
    image = json.loads(path.read_text())["images"][0]
    assert (image["width"], image["height"]) == (SIDE, WIDTH)
    with pytest.raises(DataError, match=r"000.jpg is turned by EXIF .* set color_type='color'"):
        look_at_data(on(DET, f"coco:{root}", boxes_only=True), [TRAIN])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2 0.5 0.5 0.1 0.1", "line 2 has the class 2, and names has 0 to 1"),
        ("0 0.5 0.5 0.1", "line 2 has 3 numbers behind the class"),
        ("0 .1 .1 .2 .2 .9", "line 2 has 5 numbers"),
        ("0 50 50 10 10", "line 2 has 50.0; numbers are shares of a side, 0 to 1"),
        ("red 0.5 0.5 0.1 0.1", "line 2: 'red 0.5 .* is no class and numbers"),
    ],
)
def test_lines_that_are_none_are_refused(line, message, dense, tmp_path):
    root = yolo(tmp_path / "set", dense)
    path = root / "labels/val/001.txt"
    path.write_text(path.read_text().splitlines()[0] + "\n" + line)
    with pytest.raises(DataError, match=f"labels/val/001.txt, {message}"):
        convert_yolo(root)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: images/none\nnames: [a]", "names train: images/none, and there is no"),
        ("train: labels\nnames: [a]", "there are no images at train: 'labels'"),
        ("train: images/train", "has names: None; list the names"),
        ("train: images/train\nnames: {1: a, 2: b}", "numbers the names 1, 2; number them from 0"),
        ("- a", "holds no keys"),
        ("a: [", "is no YAML"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(text, message, dense, tmp_path):
    root = yolo(tmp_path / "set", dense)
    (root / "data.yaml").write_text(text)
    with pytest.raises(DataError, match=message):
        convert_yolo(root)


def test_labels_that_lie_elsewhere_are_asked_for(dense, tmp_path):
    root = yolo(tmp_path / "set", dense)
    (root / "labels").rename(root / "texts")
    with pytest.raises(
        DataError, match=r"none of the 4 images of train has a text of labels, such"
    ):
        convert_yolo(root)
    (root / "data.yaml").unlink()
    with pytest.raises(DataError, match=r"needs one data.yaml"):
        convert_yolo(root)


def voc(root: Path, dense: Path, nested: bool) -> Path:
    """A VOC set of the dense set's squares; corners count from 1."""
    for split, short in (("training", "train"), ("validation", "val")):
        coco = json.loads((dense / f"instances_{split}.json").read_text())
        pictures = root / ("JPEGImages" if nested else short)
        texts = root / ("Annotations" if nested else short)
        names = []
        for image in coco["images"]:
            names.append(f"{short}{image['id']}")
            objects = ""
            for found in coco["annotations"]:
                if found["image_id"] == image["id"]:
                    x, y, w, h = found["bbox"]
                    name = "red" if found["category_id"] == 3 else "green"
                    objects += (
                        f"<object><name>{name}</name><difficult>{int(name == 'red')}</difficult>"
                        f"<bndbox><xmin>{x + 1}</xmin><ymin>{y + 1}</ymin><xmax>{x + w}</xmax>"
                        f"<ymax>{y + h}</ymax></bndbox></object>"
                    )
            for folder in (pictures, texts):
                folder.mkdir(parents=True, exist_ok=True)
            source = dense / "images" / split / image["file_name"]
            shutil.copy(source, pictures / f"{names[-1]}.jpg")
            (texts / f"{names[-1]}.xml").write_text(f"<annotation>{objects}</annotation>")
        lists = root / "ImageSets" / "Main"
        if nested:
            lists.mkdir(parents=True, exist_ok=True)
            (lists / f"{short}.txt").write_text("\n".join(names))
    return root


@pytest.mark.parametrize("nested", [False, True])
def test_voc(nested, dense, tmp_path):
    root = voc(tmp_path / "My set, 1", dense, nested)
    written = convert_voc(root)
    assert list(written.values()) == [(4, 8), (2, 4)]
    for path, split in zip(written, ("training", "validation"), strict=True):
        found = sorted(box[1:] for box in boxes(path))
        assert found == sorted(box[1:] for box in boxes(dense / f"instances_{split}.json"))
    first = json.loads(next(iter(written)).read_text())
    assert {o["iscrowd"] for o in first["annotations"] if o["category_id"] == 2} == {1}  # red
    train, _ = look_at_data(on(DET, f"coco:{root}", boxes_only=True), [TRAIN, VAL])
    assert train.classes == ("green", "red")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("</annotation>", "", "train1.xml is no whole XML"),
        ("<name>red</name>", "", "train1.xml has an object without a name"),
        ("<ymin>", "<yminimum>", "train1.xml is no whole XML"),
        ("xmax>", "xmaximum>", r"'red' has the bndbox \[.*None"),
    ],
)
def test_xml_that_does_not_fit_is_refused(old, new, message, dense, tmp_path):
    root = voc(tmp_path / "set", dense, True)
    path = root / "Annotations/train1.xml"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DataError, match=message):
        convert_voc(root)


def test_what_voc_lacks_is_named(dense, tmp_path):
    root = voc(tmp_path / "set", dense, True)
    (root / "Annotations/val1.xml").unlink()
    with pytest.raises(DataError, match=r"there is no .*val1.xml for its picture"):
        convert_voc(root)
    (root / "JPEGImages/train2.jpg").unlink()
    with pytest.raises(DataError, match="names 'train2', of which JPEGImages has no picture"):
        convert_voc(root)
    with pytest.raises(DataError, match=r"neither ImageSets/Main/train.txt nor folders"):
        convert_voc(dense)


def test_the_command_says_what_it_wrote(dense, tmp_path, capsys):
    parser = argparse.ArgumentParser()
    convert.add_arguments(parser)
    root = yolo(tmp_path / "set", dense)
    convert.run(parser.parse_args(["yolo", str(root)]))
    train, val = capsys.readouterr().out.splitlines()
    assert train == f"{root}/instances_train.json: 4 images, 8 objects"
    assert val == f"{root}/instances_val.json: 2 images, 4 objects"
    with pytest.raises(MaskSSLError, match="--out DIR names the folder that huggingface writes"):
        convert.run(parser.parse_args(["voc", str(root), "--out", str(tmp_path)]))


def test_the_area_of_a_polygon():
    assert Object(0, (0, 0, 4, 3), (0, 0, 4, 0, 4, 3)).area == 6
    assert Object(0, (0, 0, 4, 3)).area == 12


def test_sizes_come_from_the_picture_where_xml_has_none(dense, tmp_path):
    root = voc(tmp_path / "set", dense, True)
    Image.new("RGB", (30, 20)).save(root / "JPEGImages/train1.jpg")
    (path, *_) = convert_voc(root)
    images = json.loads(path.read_text())["images"]
    assert (images[0]["width"], images[0]["height"]) == (30, 20)


BOX = "<object><name>red</name><bndbox>{}</bndbox></object>"
CORNERS = "<xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax>"
SIZE = "<size><width>{}</width><height>{}</height><depth>3</depth></size>"


def write_voc(root: Path, size: tuple, *boxes: tuple) -> Path:
    """A picture of 64 x 48 in each split, with one text."""
    lists = root / "ImageSets/Main"
    for folder in (root / "JPEGImages", root / "Annotations", lists):
        folder.mkdir(parents=True)
    objects = "".join(BOX.format(CORNERS.format(*box)) for box in boxes)
    text = f"<annotation>{SIZE.format(*size)}{objects}</annotation>"
    for split in ("train", "val", "test"):
        Image.new("RGB", (64, 48)).save(root / f"JPEGImages/{split}.jpg")
        (root / f"Annotations/{split}.xml").write_text(text)
        (lists / f"{split}.txt").write_text(f"{split}\n")
    return root


def test_sizes_corners_and_splits_of_voc_by_hand(tmp_path):
    """Corners count from 1 and belong to the box; 0, which some tools write, is the edge.

    The size is that which the boxes were drawn on, whatever the picture has: the check compares.
    """
    boxes = (1, 1, 70, 50), (11, 21, 30, 25), (0, 0, 5, 6)
    written = convert_voc(write_voc(tmp_path, (70, 50), *boxes))
    assert [path.name for path in written] == [
        f"instances_{split}.json" for split in ("train", "val", "test")
    ]
    for path, split in zip(written, ("train", "val", "test"), strict=True):
        coco = json.loads(path.read_text())
        (image,) = coco["images"]
        assert image["file_name"] == f"JPEGImages/{split}.jpg"
        assert (image["width"], image["height"]) == (70, 50)
        found = [annotation["bbox"] for annotation in coco["annotations"]]
        assert found == [[0, 0, 70, 50], [10, 20, 20, 5], [0, 0, 5, 6]]


def test_numbers_of_voc_may_have_a_point(tmp_path):
    path, *_ = convert_voc(write_voc(tmp_path, ("64.0", " 48 "), ("12.0", 1, "20.5", 9)))
    coco = json.loads(path.read_text())
    assert (coco["images"][0]["width"], coco["images"][0]["height"]) == (64, 48)
    assert coco["annotations"][0]["bbox"] == [11, 0, 9.5, 9]


@pytest.mark.parametrize(
    ("size", "box", "message"),
    [
        (
            ("64.5", 48),
            (1, 1, 9, 9),
            r"train\.xml has the width '64\.5'; give .* or leave out size",
        ),
        ((64, "high"), (1, 1, 9, 9), r"train\.xml has the height 'high'"),
        ((64, "-48"), (1, 1, 9, 9), r"train\.xml has the height '-48'"),
        ((64, 48), (1, 1, "nan", 9), r"train\.xml: .* has the bndbox \['1', '1', 'nan', '9'\]"),
        ((64, 48), (1, 1, "9,5", 9), r"train\.xml: .* give four numbers"),
    ],
)
def test_numbers_of_voc_that_are_none_are_refused(size, box, message, tmp_path):
    with pytest.raises(DataError, match=message):
        convert_voc(write_voc(tmp_path, size, box))


def test_a_picture_is_asked_where_voc_tells_no_size(tmp_path):
    path, *_ = convert_voc(write_voc(tmp_path, ("", 0), (1, 1, 9, 9)))
    (image,) = json.loads(path.read_text())["images"]
    assert (image["width"], image["height"]) == (64, 48)


def test_texts_of_other_encodings_are_read_or_named(dense, tmp_path):
    """As Windows' editors write them: with a mark, which is no part of a name, or as cp1252."""
    root = write_voc(tmp_path / "voc", (64, 48), (1, 1, 9, 9))
    listed = root / "ImageSets/Main/train.txt"
    listed.write_bytes(b"\xef\xbb\xbftrain\r\n")
    convert_voc(root)
    listed.write_bytes("bär\n".encode("cp1252"))
    with pytest.raises(MaskSSLError, match=r"train\.txt is no text in UTF-8 .*save it as UTF-8"):
        convert_voc(root)
    (root / "Annotations/val.xml").write_bytes(b'<?xml version="1.0" encoding="GB2312"?><a/>')
    listed.write_text("train\n")
    with pytest.raises(DataError, match=r"val\.xml is no whole XML .*write it anew, in UTF-8"):
        convert_voc(root)
    root = yolo(tmp_path / "yolo", dense)
    text = root / "labels/train/000.txt"
    text.write_bytes(b"\xef\xbb\xbf" + text.read_bytes())
    assert list(convert_yolo(root).values()) == [(4, 8), (2, 4)]
    (root / "data.yaml").write_bytes("names: [bär]\n".encode("cp1252"))
    with pytest.raises(DataError, match=r"data\.yaml is no YAML in UTF-8"):
        convert_yolo(root)


def labelled(root: Path, dense: Path, line: str) -> list[dict]:
    """What comes of one line for the first picture of a YOLO set."""
    root = yolo(root, dense)
    (root / "labels/train/000.txt").write_text(line)
    (path, *_) = convert_yolo(root)
    coco = json.loads(path.read_text())
    return [found for found in coco["annotations"] if found["image_id"] == 1]


def test_boxes_of_yolo_keep_their_fractions_of_a_pixel(dense, tmp_path):
    (box,) = labelled(tmp_path / "set", dense, "1 0.3 0.6 0.11 0.05")
    assert box["bbox"] == pytest.approx([0.245 * WIDTH, 0.575 * SIDE, 0.11 * WIDTH, 0.05 * SIDE])
    assert box["area"] == pytest.approx(0.11 * WIDTH * 0.05 * SIDE)


@pytest.mark.parametrize("share", ["1.0009", "-0.0009"])
def test_shares_that_rounding_has_moved_over_the_edge_are_kept(share, dense, tmp_path):
    (outline,) = labelled(tmp_path / "set", dense, f"0 0.2 0.2 0.8 0.2 {share} 0.9")
    assert outline["segmentation"][0][4] == pytest.approx(float(share) * WIDTH)


@pytest.mark.parametrize("share", ["1.0011", "-0.0011"])
def test_shares_beyond_rounding_are_refused(share, dense, tmp_path):
    with pytest.raises(DataError, match=f"line 1 has {share}; numbers are shares"):
        labelled(tmp_path / "set", dense, f"0 0.2 0.2 0.8 0.2 {share} 0.9")
