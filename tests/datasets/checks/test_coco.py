"""What a COCO file may not say, each refused with the entry's name."""

import json
from typing import Any

import pytest

from maskssl.datasets.checks.coco import (
    check_boxes,
    check_classes,
    check_pictures,
    objects_per_class,
    read_coco,
)
from maskssl.datasets.checks.errors import DataError
from tests.datasets.checks.sets import turn, write_dense

CLASSES = ("red", "green")


def check(root, with_masks=True, classes=CLASSES, applies_orientation=True):
    coco = read_coco(root / "instances_training.json", with_masks)
    notes = check_classes(coco, classes) + check_boxes(coco)
    pictures = check_pictures(coco, str(root / "images" / "training"), applies_orientation)
    return coco, notes, pictures


def test_a_good_file_passes_without_a_word(tmp_path):
    coco, notes, pictures = check(write_dense(tmp_path))
    assert notes == [] and [picture.size for picture in pictures] == [(64, 48)] * 4
    assert objects_per_class(coco, CLASSES) == [4, 4]


def drop(part: str, key: str):
    return lambda coco: coco[part][-1].pop(key)


def put(part: str, key: str, value: Any):
    return lambda coco: coco[part][-1].update({key: value})


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c: c.pop("annotations"), r"has no annotations \(it has images, categories"),
        (lambda c: c.update(images=[]), "has no images"),
        (drop("annotations", "area"), r"annotations\[.\] \(id .\) has no 'area'; add it; w \* h"),
        (drop("annotations", "bbox"), r"has no 'bbox'"),
        (drop("images", "width"), r"images\[.\] \(id .\) has no 'width'"),
        (drop("images", "file_name"), r"has no 'file_name'"),
        (put("images", "width", "64"), "the image . has the width '64'; give a number"),
        (put("images", "height", [48]), r"the image . has the height \[48\]"),
        (drop("annotations", "segmentation"), "annotation . has no segmentation, .*boxes alone"),
        (put("annotations", "segmentation", [[1, 2, 3]]), "an outline of 3 numbers"),
        (put("annotations", "segmentation", dict(size=[9, 9], counts="x")), r"size \[9, 9\]"),
        (put("annotations", "segmentation", [[1, 2, 3, 4, 5, None]]), "an outline of 6 numbers"),
        (put("annotations", "bbox", [1, 2, 3]), r"has the bbox \[1, 2, 3\]; give four"),
        (put("annotations", "bbox", [1, 2, 3, None]), "give four numbers"),
        (put("annotations", "bbox", [30, 30, 60, 50]), "1 of . objects are partly outside"),
        (put("annotations", "bbox", [30, 30, 0, 50]), "1 of . objects are empty or outside"),
        (put("annotations", "bbox", [10, 30, 20, 40]), "1 of . objects are partly outside"),
        (put("annotations", "area", 0), "1 of . objects are empty or outside"),
        (put("annotations", "bbox", [300, 3, 9, 9]), "1 of . objects are empty or outside"),
        (put("annotations", "image_id", 99), "image_id 99, and images has no such id"),
        (put("annotations", "category_id", 1), "category_id 1, and categories has no such id"),
        (put("annotations", "id", 1), "two entries of the annotation id 1"),
        (put("images", "id", 1), "two entries of the image id 1"),
        (put("images", "file_name", "000.jpg"), "lists the picture '000.jpg' 2 times"),
        (put("images", "width", 256), "speaks of 256 x 48 pixels, and .*00..jpg has 64 x 48"),
        (put("images", "file_name", "no.jpg"), "1 of . pictures .* are not there, e.g. .*no.jpg"),
        (put("categories", "name", "red"), "has 'red' twice in categories"),
        (put("categories", "name", "Green"), "the class 'green' .*; write it 'Green'"),
        (lambda c: c["categories"].reverse(), r"in the order \('green', 'red'\)"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_name(edit, message, tmp_path):
    with pytest.raises(DataError, match=message):
        check(write_dense(tmp_path, edit=edit))


def test_a_file_that_is_cut_short_is_refused(tmp_path):
    path = write_dense(tmp_path) / "instances_training.json"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"training\.json is no whole JSON file"):
        read_coco(path, True)
    path.write_text("\ufeff{}", "utf-8")  # which pycocotools does not read
    with pytest.raises(DataError, match="no whole JSON file in UTF-8 .*BOM"):
        read_coco(path, True)
    path.write_text(json.dumps([]))
    with pytest.raises(DataError, match="holds a list, and not COCO's"):
        read_coco(path, True)


def test_boxes_alone_are_enough_without_masks(tmp_path):
    root = write_dense(tmp_path, edit=lambda c: [a.pop("segmentation") for a in c["annotations"]])
    check(root, with_masks=False)


def test_objects_of_other_categories_are_counted(tmp_path):
    _, notes, _ = check(write_dense(tmp_path), classes=("green",))
    assert notes == [
        "4 of 8 objects are of categories that are none of the classes, and are left out: red (4)."
    ]


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("applies_orientation", [False, True])
def test_annotations_lie_on_the_raster_that_is_loaded(orientation, applies_orientation, tmp_path):
    """Outlines were drawn on the file's own 64 x 48; upright the picture has 48 x 64."""
    root = write_dense(tmp_path)
    turn(root / "images/training/002.jpg", orientation)
    if not applies_orientation:
        check(root, applies_orientation=False)
        return
    with pytest.raises(DataError, match=r"002.jpg is turned.*color_type='color_ignore_orient"):
        check(root, applies_orientation=True)


def test_few_objects_that_are_empty_are_noted_and_more_are_refused(tmp_path):
    """One of two hundred; two of a hundred."""

    def empty(number: int, of: int):
        def edit(coco):
            first = coco["annotations"][0]
            coco["annotations"] = [dict(first, id=1 + at) for at in range(of)]
            for one in coco["annotations"][:number]:
                one["area"] = 0

        return edit

    for folder in ("few", "many"):
        (tmp_path / folder).mkdir()
    _, notes, _ = check(write_dense(tmp_path / "few", edit=empty(1, 200)))
    assert len(notes) == 1 and "1 of 200 objects are empty" in notes[0]
    with pytest.raises(DataError, match="2 of 100 objects are empty"):
        check(write_dense(tmp_path / "many", edit=empty(2, 100)))


def test_a_run_length_mask_has_the_height_of_its_picture_first(tmp_path):
    mask = dict(size=[48, 64], counts=[3072])
    check(write_dense(tmp_path, edit=put("annotations", "segmentation", mask)))
