"""Masks and COCO files of the user, in the layouts in which people have them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskssl.errors import MaskSSLError
from maskssl.quickstart.dense_images import find_boxes, find_maps
from maskssl.quickstart.images import describe_images
from maskssl.transfer.box_set import box_sets
from maskssl.transfer.map_set import map_sets


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6)).save(path)


def mask(path: Path, *values: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((6, 8), np.uint8)
    pixels[0, : len(values)] = values
    Image.fromarray(pixels).save(path)


def coco(path: Path, names: list[str], categories=("cat", "dog"), **entry) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [
        {"id": number, "file_name": name, "width": 8, "height": 6}
        for number, name in enumerate(names)
    ]
    box = {"bbox": [0, 0, 2, 2], "area": 4, "iscrowd": 0, "category_id": 7}
    box["segmentation"] = [[0, 0, 2, 0, 2, 2]]
    objects = [
        {"id": number + 1, "image_id": number, **box, **entry} for number in range(len(names))
    ]
    classes = [{"id": 7 + number, "name": name} for number, name in enumerate(categories)]
    path.write_text(json.dumps(dict(images=images, annotations=objects, categories=classes)))


def masked_folder(root: Path, masks: str = "masks", count: int = 10) -> Path:
    for number in range(count):
        picture(root / "images" / f"{number} a.jpg")
        mask(root / masks / f"{number} a.png", number % 3, 255)
    return root


@pytest.mark.parametrize("masks", ["masks", "annotations", "Labels"])
def test_each_fifth_mask_validates(masks, tmp_path):
    root = masked_folder(tmp_path / "data", masks)
    picture(root / "images" / "unlabelled.jpg")
    data = describe_images(root)
    assert (data.pretrain_root, data.num_images) == (root / "images", 11)
    assert data.labelled.keys() == {"maps"}
    data.labelled["maps"].write(tmp_path / "out")
    train, test = map_sets(str(tmp_path / "out"))
    assert train.classes == ("class 0", "class 1", "class 2")
    assert test.files == ("images/val/4 a.jpg", "images/val/9 a.jpg")
    assert test.masks == ("masks/val/4 a.png", "masks/val/9 a.png")
    assert len(train) == 8 and test.label_map(1)[0, 0] == 9 % 3
    assert all((tmp_path / "out" / file).is_file() for file in (*train.read, *test.read))


def test_split_masks_and_named_classes(tmp_path):
    own = tmp_path / "own"
    for split, count in (("training", 3), ("validation", 2)):
        for number in range(count):
            picture(own / "images" / split / f"{split}{number}.png")
            mask(own / "annotations" / split / f"{split}{number}.png", 1)
    (own / "classes.txt").write_text("ground\nboat\n")
    find_maps(own).arranged.write(tmp_path / "out")
    train, test = map_sets(str(tmp_path / "out"))
    assert train.classes == test.classes == ("ground", "boat")
    assert (len(train), len(test)) == (3, 2)
    assert all("/validation/validation" in name for name in test.files)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: (root / "images" / "0 a.jpg").unlink(), "1 masks .* 0 a.png first"),
        (lambda root: picture(root / "masks" / "1 a.png"), "3 channels"),
        (
            lambda root: (root / "images" / "0 a.jpg").rename(root / "images" / "0 a.png"),
            r"end with \.jpg, \.png",
        ),
        (lambda root: (root / "classes.txt").write_text("one\ntwo"), "labels up to 2, .* names 2"),
    ],
)
def test_masks_that_do_not_fit_are_refused(change, message, tmp_path):
    root = masked_folder(tmp_path)
    change(root)
    with pytest.raises(MaskSSLError, match=message):
        find_maps(root)


def test_few_masks_and_masks_of_one_label_are_refused(tmp_path):
    with pytest.raises(MaskSSLError, match="4 masks in .*a split needs 5"):
        find_maps(masked_folder(tmp_path / "few", count=4))
    for number in range(5):
        picture(tmp_path / "one" / "images" / f"{number}.jpg")
        mask(tmp_path / "one" / "masks" / f"{number}.png", 255)
    with pytest.raises(MaskSSLError, match=r"hold \[0\] alone \(255 is ignored\)"):
        find_maps(tmp_path / "one")


def test_a_coco_file_for_each_split(tmp_path):
    for split in ("train", "val"):
        picture(tmp_path / split / "0.jpg")  # of one name in both
        coco(tmp_path / "annotations" / f"instances_{split}.json", ["0.jpg"])
    (tmp_path / "notes.json").write_text("[]")
    describe_images(tmp_path).labelled["boxes"].write(tmp_path / "out")
    train, test = box_sets(str(tmp_path / "out"))
    assert train.classes == ("cat", "dog")
    for split, part in (("train", train), ("val", test)):
        assert part.files == (f"{split}/0.jpg",)
        assert (part.root / part.files[0]).resolve() == tmp_path / split / "0.jpg"


def test_a_single_coco_file_is_split(tmp_path):
    names = [f"{number}.jpg" for number in range(10)]
    for name in names:
        picture(tmp_path / "photos" / name)
    coco(tmp_path / "objects.json", names)
    data = find_boxes(tmp_path)
    parts = {path: json.loads(text) for path, text in data.arranged.texts.items()}
    val, train = parts["instances_val.json"], parts["instances_train.json"]
    assert [image["id"] for image in val["images"]] == [4, 9]
    assert [entry["image_id"] for entry in val["annotations"]] == [4, 9]
    assert len(train["images"]) == len(train["annotations"]) == 8
    assert data.pictures == tmp_path / "photos"
    data.arranged.write(tmp_path / "out")
    own, test = box_sets(str(tmp_path / "out"))
    assert (len(own), test.files) == (8, ("val/4.jpg", "val/9.jpg"))


def test_coco_files_that_do_not_fit_are_refused(tmp_path):
    def refused(folder: str, message: str) -> None:
        with pytest.raises(MaskSSLError, match=message):
            find_boxes(tmp_path / folder)

    names = [f"{number}.jpg" for number in range(5)]
    coco(tmp_path / "bare" / "a.json", names, segmentation=[])
    refused("bare", "5 objects in .*a.json have no segmentation, id 1 first")
    coco(tmp_path / "lost" / "a.json", names)
    refused("lost", r"names 0\.jpg, which lies nowhere below")
    for number in (0, 4):
        picture(tmp_path / "half" / f"{number}.jpg")
    coco(tmp_path / "half" / "a.json", names)
    refused("half", r"3 pictures of COCO files are not there, .*1\.jpg first")
    for split in ("train", "val"):
        coco(tmp_path / "other" / f"{split}.json", names, categories=[split])
    refused("other", "has the categories train and .* val; both need the same")
    for name in ("a", "b"):
        coco(tmp_path / "which" / f"{name}.json", names)
    refused("which", r"which of a\.json, b\.json are to be trained on")


@pytest.mark.parametrize("damage", [lambda b: b[:-20], lambda b: b"\xef\xbb\xbf" + b])
def test_a_damaged_coco_file_is_not_passed_over(damage, tmp_path):
    """The other one alone would be split, and be trained on what was to validate."""
    for split in ("train", "val"):
        picture(tmp_path / split / "a.jpg")
        coco(tmp_path / f"instances_{split}.json", ["a.jpg"])
    path = tmp_path / "instances_train.json"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(MaskSSLError, match=r"instances_train\.json is no whole JSON file"):
        find_boxes(tmp_path)


def test_other_annotations_of_coco_beside_instances_are_left(tmp_path):
    for split in ("train", "val"):
        picture(tmp_path / split / "a.jpg")
        coco(tmp_path / "annotations" / f"instances_{split}2017.json", ["a.jpg"])
        coco(tmp_path / "annotations" / f"person_keypoints_{split}2017.json", ["a.jpg"], ["person"])
    texts = find_boxes(tmp_path).arranged.texts
    names = {one["name"] for one in json.loads(texts["instances_train.json"])["categories"]}
    assert names == {"cat", "dog"}


def test_a_split_of_another_name_stays_beside_instances(tmp_path):
    """The instances of the training alone are not split while there is a file to validate on."""
    for name in ("instances_train", "val"):
        picture(tmp_path / name / "a.jpg")
        coco(tmp_path / f"{name}.json", [f"{name}/a.jpg"])
    links = find_boxes(tmp_path).arranged.links
    assert {"train/instances_train/a.jpg", "val/val/a.jpg"} == set(links)
    coco(tmp_path / "train_more.json", ["val/a.jpg"])
    coco(tmp_path / "instances_train_more.json", ["val/a.jpg"])
    with pytest.raises(MaskSSLError, match="which of .* are to be trained on"):
        find_boxes(tmp_path)


def test_names_of_classes_in_another_encoding_are_refused(tmp_path):
    masked_folder(tmp_path)
    (tmp_path / "classes.txt").write_bytes("\ufeffa\nb\nc\n".encode())
    assert find_maps(tmp_path).arranged.texts["classes.txt"].split() == ["a", "b", "c"]
    (tmp_path / "classes.txt").write_bytes("ä\nb\nc\n".encode("cp1252"))
    with pytest.raises(MaskSSLError, match=r"classes\.txt is no text in UTF-8"):
        find_maps(tmp_path)


@pytest.mark.parametrize("splits", [("train", "test"), ("train", "val", "test")])
def test_a_test_split_validates_where_there_is_no_other(splits, tmp_path):
    for split in splits:
        for number in range(2):
            picture(tmp_path / "maps" / "images" / split / f"{split}{number}.png")
            mask(tmp_path / "maps" / "masks" / split / f"{split}{number}.png", 1)
        picture(tmp_path / "boxes" / split / f"{split}.jpg")
        coco(tmp_path / "boxes" / f"instances_{split}.json", [f"{split}.jpg"])
    val = splits[1]
    links = set(find_maps(tmp_path / "maps").arranged.links)
    assert links == {
        f"{kind}/{part}/{split}/{split}{number}.png"
        for kind in ("images", "masks")
        for part, split in (("train", "train"), ("val", val))
        for number in range(2)
    }
    found = find_boxes(tmp_path / "boxes")
    assert set(found.arranged.links) == {"train/train.jpg", f"val/{val}.jpg"}
    texts = {name: json.loads(text) for name, text in found.arranged.texts.items()}
    assert texts["instances_val.json"]["images"][0]["file_name"] == f"{val}.jpg"


def test_two_files_that_differ_in_their_endings_alone_are_refused(tmp_path):
    """Either could be meant; what has no mask is nobody's concern."""
    root = masked_folder(tmp_path)
    for ending in ("jpg", "png"):
        picture(root / "images" / f"unlabelled.{ending}")
    assert len(find_maps(root).arranged.links) == 20
    picture(root / "images" / "3 a.png")
    with pytest.raises(MaskSSLError, match=r"images/3 a ends with \.jpg and with \.png; keep one"):
        find_maps(root)
    (root / "images" / "3 a.png").unlink()
    mask(root / "masks" / "3 a.tif", 1)
    with pytest.raises(MaskSSLError, match=r"masks/3 a ends with \.png and with \.tif; keep one"):
        find_maps(root)


def test_panoptic_annotations_of_coco_beside_instances_are_left(tmp_path):
    """Their entries have neither a segmentation nor an id."""
    for split in ("train", "val"):
        picture(tmp_path / split / "a.jpg")
        coco(tmp_path / "annotations" / f"instances_{split}2017.json", ["a.jpg"])
        content = json.loads((tmp_path / "annotations" / f"instances_{split}2017.json").read_text())
        content["annotations"] = [dict(image_id=0, file_name="a.png", segments_info=[])]
        (tmp_path / "annotations" / f"panoptic_{split}2017.json").write_text(json.dumps(content))
    assert set(find_boxes(tmp_path).arranged.links) == {"train/a.jpg", "val/a.jpg"}
