"""Masks and COCO files of the user, in the layouts in which people have them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskssl.errors import MaskSSLError
from maskssl.transfer.dense_images import find_boxes, find_maps
from maskssl.transfer.images import describe_images


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
    data = describe_images(root, tmp_path / "lists")
    assert (data.pretrain_root, data.num_images) == (root / "images", 11)
    assert data.class_root is None and data.boxes is None
    assert data.maps.classes == ("class 0", "class 1", "class 2")
    data.write_lists()
    stems = {}
    for part in ("train", "val"):
        options = data.maps.datasets[part]
        stems[part] = Path(options["ann_file"]).read_text().splitlines()
        for stem in stems[part]:
            image = Path(options["data_prefix.img_path"], stem + options["img_suffix"])
            truth = Path(options["data_prefix.seg_map_path"], stem + options["seg_map_suffix"])
            assert image.is_file() and truth.is_file()
    assert stems["val"] == ["4 a", "9 a"]
    assert len(stems["train"]) == 8 and not set(stems["train"]) & set(stems["val"])


def test_split_masks_and_named_classes(tmp_path):
    for split, count in (("training", 3), ("validation", 2)):
        for number in range(count):
            picture(tmp_path / "images" / split / f"{split}{number}.png")
            mask(tmp_path / "annotations" / split / f"{split}{number}.png", 1)
    (tmp_path / "classes.txt").write_text("ground\nboat\n")
    data = find_maps(tmp_path, tmp_path / "lists")
    assert data.classes == ("ground", "boat")
    assert list(data.lists.values()) == [
        "training/training0\ntraining/training1\ntraining/training2",
        "validation/validation0\nvalidation/validation1",
    ]


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
        find_maps(root, tmp_path / "lists")


def test_few_masks_and_masks_of_one_label_are_refused(tmp_path):
    with pytest.raises(MaskSSLError, match="4 masks in .*a split needs 5"):
        find_maps(masked_folder(tmp_path / "few", count=4), tmp_path)
    for number in range(5):
        picture(tmp_path / "one" / "images" / f"{number}.jpg")
        mask(tmp_path / "one" / "masks" / f"{number}.png", 255)
    with pytest.raises(MaskSSLError, match=r"hold \[0\] alone \(255 is ignored\)"):
        find_maps(tmp_path / "one", tmp_path)


def test_a_coco_file_for_each_split(tmp_path):
    for split in ("train", "val"):
        picture(tmp_path / split / "0.jpg")  # of one name in both
        coco(tmp_path / "annotations" / f"instances_{split}.json", ["0.jpg"])
    (tmp_path / "notes.json").write_text("[]")
    data = describe_images(tmp_path, tmp_path / "lists").boxes
    assert data.classes == ("cat", "dog") and not data.lists
    for split in ("train", "val"):
        assert data.datasets[split]["data_prefix.img"] == f"{tmp_path / split}/"
        assert data.datasets[split]["ann_file"].endswith(f"instances_{split}.json")


def test_a_single_coco_file_is_split(tmp_path):
    names = [f"{number}.jpg" for number in range(10)]
    for name in names:
        picture(tmp_path / "photos" / name)
    coco(tmp_path / "objects.json", names)
    data = find_boxes(tmp_path, tmp_path / "lists")
    parts = {path.stem: json.loads(text) for path, text in data.lists.items()}
    assert [image["id"] for image in parts["coco_val"]["images"]] == [4, 9]
    assert [entry["image_id"] for entry in parts["coco_val"]["annotations"]] == [4, 9]
    assert len(parts["coco_train"]["images"]) == len(parts["coco_train"]["annotations"]) == 8
    assert data.pictures == tmp_path / "photos"


def test_coco_files_that_do_not_fit_are_refused(tmp_path):
    def refused(folder: str, message: str) -> None:
        with pytest.raises(MaskSSLError, match=message):
            find_boxes(tmp_path / folder, tmp_path / "lists")

    names = [f"{number}.jpg" for number in range(5)]
    coco(tmp_path / "bare" / "a.json", names, segmentation=[])
    refused("bare", "5 objects in .*a.json have no segmentation, id 1 first")
    coco(tmp_path / "lost" / "a.json", names)
    refused("lost", r"names 0\.jpg, which lies nowhere below")
    for split in ("train", "val"):
        coco(tmp_path / "other" / f"{split}.json", names, categories=[split])
    refused("other", "has the categories train and .* val; both need the same")
    for name in ("a", "b"):
        coco(tmp_path / "which" / f"{name}.json", names)
    refused("which", r"which of a\.json, b\.json are to be trained on")


def test_other_masks_are_another_experiment(tmp_path):
    root = masked_folder(tmp_path / "data")
    before = find_maps(root, tmp_path / "lists").truth()
    assert find_maps(root, tmp_path / "lists").truth() == before
    mask(root / "masks" / "0 a.png", *range(3), *range(3))
    assert find_maps(root, tmp_path / "lists").truth() != before
