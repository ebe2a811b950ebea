"""Edits of small good sets: those that leave a valid set, and faults with what names them.

Each takes the set's folder and a random generator. A valid edit returns nothing, or the codes of
its masks; a fault returns a pattern that the refusal must match: the guilty file or value.
"""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.datasets.checks.sets import turn

Random = np.random.Generator
Edit = Callable[[Path, Random], Any]


def one_of(random: Random, folder: Path, pattern: str = "*/*") -> Path:
    found = (path for path in folder.glob(pattern) if path.is_file())
    files = sorted(path for path in found if path.name[0] != "." and path.suffix != ".db")
    return files[random.integers(len(files))]


def a_split(random: Random) -> str:
    return ("train", "val")[random.integers(2)]


def recoded(path: Path, suffix: str, mode: str | None = None) -> None:
    with Image.open(path) as image:
        (image.convert(mode) if mode else image).save(path.with_suffix(suffix))
    if suffix != path.suffix:
        path.unlink()


# ImageFolders


def other_endings(root: Path, random: Random) -> None:
    for _ in range(3):
        path = one_of(random, root / a_split(random))
        suffix = (".webp", ".png", ".tiff", ".bmp", ".JPG")[random.integers(5)]
        if path.suffix != suffix and not path.with_suffix(suffix).exists():
            recoded(path, suffix)


def hidden_entries(root: Path, random: Random) -> None:
    split = root / a_split(random)
    (split / ".ipynb_checkpoints").mkdir()
    (split / "__MACOSX" / "apple").mkdir(parents=True)
    (split / "__MACOSX" / "apple" / "._000.jpg").write_bytes(b"mac")
    (split / "pear" / "._000.jpg").write_bytes(b"mac")
    (split / "pear" / "Thumbs.db").write_bytes(b"win")


def foreign_files(root: Path, random: Random) -> None:
    one_of(random, root / a_split(random)).with_name("notes, and more.txt").write_text("x")
    (root / a_split(random) / "labels.csv").write_text("x")
    (root / a_split(random) / "apple" / "gone.jpg").symlink_to(root / "nowhere.jpg")


def linked_class(root: Path, random: Random) -> None:
    folder = root / a_split(random) / "pear"
    far = root / "far" / "away"
    far.parent.mkdir()
    shutil.move(folder, far)
    folder.symlink_to(far)


def deeper(root: Path, random: Random) -> None:
    path = one_of(random, root / a_split(random))
    (path.parent / "day 1" / "b").mkdir(parents=True)
    path.rename(path.parent / "day 1" / "b" / path.name)


def odd_names(root: Path, random: Random) -> None:
    for split in ("train", "val"):
        (root / split / "plum").rename(root / split / " plum, ripe (ä)")
        path = one_of(random, root / split)
        path.rename(path.with_name(f" {path.stem}, x=1 [2] é{path.suffix}"))


def other_modes(root: Path, random: Random) -> None:
    recoded(one_of(random, root / "train"), ".jpg", "L")
    recoded(one_of(random, root / "val"), ".png", ("RGBA", "P", "L", "1")[random.integers(4)])


def turned(root: Path, random: Random) -> None:
    turn(one_of(random, root / a_split(random), "*/*.jpg"), int(random.integers(2, 9)))


def class_without_tests(root: Path, random: Random) -> None:
    for path in (root / "val" / "pear").iterdir():
        path.unlink()


def lost_class(root: Path, random: Random) -> str:
    name = ("apple", "pear", "plum")[random.integers(3)]
    shutil.rmtree(root / a_split(random) / name)
    return f"'{name}'"


def strange_class(root: Path, random: Random) -> str:
    folder = root / a_split(random) / "results"
    folder.mkdir()
    if random.integers(2):
        shutil.copy(one_of(random, root / "train", "*/*.jpg"), folder / "plot.jpg")
    return "'results'"


def capital(root: Path, random: Random) -> str:
    folder = root / a_split(random)
    (folder / "pear").rename(folder / "Pear")
    return "'Pear'"


def no_training_image(root: Path, random: Random) -> str:
    folder = max(path for path in (root / "train").iterdir() if path.is_dir())
    for path in folder.rglob("*"):
        if path.is_file() or path.is_symlink():
            path.unlink()
    return re.escape(repr(folder.name))


def cut_short(root: Path, random: Random) -> str:
    path = one_of(random, root / a_split(random))
    path.write_bytes(path.read_bytes()[: int(random.integers(0, 500))])
    return re.escape(f"{path.parent.name}/{path.name}")


def no_picture(root: Path, random: Random) -> str:
    path = one_of(random, root / a_split(random))
    path.write_bytes((b"<html>not found</html>", b"", b"\0" * 300)[random.integers(3)])
    return re.escape(f"{path.parent.name}/{path.name}")


def sixteen_bits(root: Path, random: Random) -> str:
    path = one_of(random, root / a_split(random))
    pixels = random.integers(0, 4096, (32, 32)).astype(np.uint16)
    Image.fromarray(pixels).save(path.with_suffix((".png", ".tif")[random.integers(2)]))
    path.unlink()
    return f"{path.stem}.(png|tif) has 16 bits"


def flat(root: Path, random: Random) -> str:
    files = [path for path in sorted((root / "val").rglob("*")) if path.is_file()]
    for number, path in enumerate(files):
        path.rename(root / "val" / f"{number}{path.suffix}")
    for path in (root / "val").iterdir():
        if path.is_symlink():
            path.unlink()
        elif path.is_dir():
            shutil.rmtree(path)
    return "val holds images in no class folders"


def beside_the_classes(root: Path, random: Random) -> str:
    path = one_of(random, root / "train")
    shutil.copy(path, root / "train" / f"stray{path.suffix}")
    return "stray"


def loop(root: Path, random: Random) -> str:
    (root / "train" / "pear" / "up").symlink_to(root / "train")
    return "pear/up"


def nested_splits(root: Path, random: Random) -> str:
    for split in ("train", "val"):
        (root / split).rename(root / f"seg_{split}")
    (root / "train").mkdir()
    for split in ("train", "val"):
        (root / f"seg_{split}").rename(root / "train" / f"seg_{split}")
    shutil.copytree(root / "train" / "seg_val", root / "val")
    return "seg_train"


FOLDER_EDITS: tuple[Edit, ...] = (
    *(other_endings, hidden_entries, foreign_files, linked_class, deeper, odd_names),
    *(other_modes, turned, class_without_tests),
)
FOLDER_FAULTS: tuple[Edit, ...] = (
    *(lost_class, strange_class, capital, no_training_image, cut_short, no_picture),
    *(sixteen_bits, flat, beside_the_classes, loop, nested_splits),
)

# lists


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines()


def change_line(path: Path, random: Random, change: Callable[[str], str]) -> int:
    lines = lines_of(path)
    number = int(random.integers(len(lines) - 1))
    lines[number] = change(lines[number])
    path.write_text("\n".join(lines) + "\n")
    return number + 1


def shuffled(root: Path, random: Random) -> None:
    lines = lines_of(root / "train.txt")
    random.shuffle(lines)
    (root / "train.txt").write_text("\n".join(lines))


def fewer_lines(root: Path, random: Random) -> None:
    lines = lines_of(root / "val.txt")
    (root / lines[0].rsplit(" ", 1)[0]).unlink()
    (root / "val.txt").write_text("\n".join(lines[1:]) + "\n\n\n")


def spaced(root: Path, random: Random) -> None:
    path = one_of(random, root / "train")
    new = path.with_name(f"my photo 3, {path.stem}.jpg")
    path.rename(new)
    text = (root / "train.txt").read_text()
    old_line, new_line = (p.relative_to(root).as_posix() for p in (path, new))
    (root / "train.txt").write_text(text.replace(old_line, new_line))


def from_one(root: Path, random: Random) -> str:
    for split in ("train", "val"):
        pairs = [line.rsplit(" ", 1) for line in lines_of(root / f"{split}.txt")]
        text = "".join(f"{name} {int(label) + 1}\n" for name, label in pairs)
        (root / f"{split}.txt").write_text(text)
    return "the label 3"


def label_beyond(root: Path, random: Random) -> str:
    split, label = a_split(random), int(random.integers(3, 2000))
    change_line(root / f"{split}.txt", random, lambda line: f"{line.rsplit(' ', 1)[0]} {label}")
    return f"{split}.txt has the label {label}|images of label {label}"


def label_of_words(root: Path, random: Random) -> str:
    label = ("pear", "-1", "1.0", "1,2")[random.integers(4)]
    number = change_line(
        root / "train.txt", random, lambda line: f"{line.rsplit(' ', 1)[0]} {label}"
    )
    return f"line {number}: .*{label}"


def no_label(root: Path, random: Random) -> str:
    change_line(root / "val.txt", random, lambda line: line.rsplit(" ", 1)[0])
    return "val.txt have no label, the first is"


def empty_line(root: Path, random: Random) -> str:
    number = change_line(root / "train.txt", random, lambda line: "")
    return f"line {number}, is empty"


def listed_but_gone(root: Path, random: Random) -> str:
    path = one_of(random, root / a_split(random))
    path.unlink()
    return re.escape(f"{path.parent.name}/{path.name}")


def only_in_the_test(root: Path, random: Random) -> str:
    lines = [line for line in lines_of(root / "train.txt") if not line.endswith(" 1")]
    (root / "train.txt").write_text("\n".join(lines))
    return "images of label 1"


LIST_EDITS: tuple[Edit, ...] = (shuffled, fewer_lines, spaced, turned)
LIST_FAULTS: tuple[Edit, ...] = (
    *(from_one, label_beyond, label_of_words, no_label, empty_line, listed_but_gone),
    *(only_in_the_test, cut_short, no_picture),
)

# segmentation


def a_pair(root: Path, random: Random) -> tuple[Path, Path]:
    split = ("training", "validation")[random.integers(2)]
    image = one_of(random, root / "images" / split, "*.jpg")
    return image, root / "annotations" / split / f"{image.stem}.png"


def paletted(root: Path, random: Random) -> None:
    _, path = a_pair(root, random)
    with Image.open(path) as image:
        indexed = Image.fromarray(np.array(image)).convert("P")
        indexed.putdata(np.array(image).ravel().tolist())
        indexed.putpalette([*range(256)] * 3)
        indexed.save(path)


def partly_ignored(root: Path, random: Random) -> None:
    _, path = a_pair(root, random)
    values = np.array(Image.open(path))
    values[:5] = 255
    Image.fromarray(values).save(path)


def spare_mask(root: Path, random: Random) -> None:
    _, path = a_pair(root, random)
    shutil.copy(path, path.with_name("spare.png"))


def foreign_beside_images(root: Path, random: Random) -> None:
    image, _ = a_pair(root, random)
    (image.parent / "notes.txt").write_text("x")
    (image.parent / ".hidden.jpg").write_bytes(b"x")


def renamed_pair(root: Path, random: Random) -> None:
    for path in a_pair(root, random):
        path.rename(path.with_name(f"my photo, {path.name}"))


def turned_as_stored(root: Path, random: Random) -> None:
    turn(a_pair(root, random)[0], int(random.integers(2, 9)))


def coded(root: Path, random: Random) -> dict[int, int]:
    codes = {0: 0, 7: 1, 254: 2, 255: 255}
    table = np.full(256, 255, np.uint8)
    table[:3] = (0, 7, 254)
    for path in (root / "annotations").glob("*/*.png"):
        Image.fromarray(table[np.array(Image.open(path))]).save(path)
    return codes


def lost_mask(root: Path, random: Random) -> str:
    _, path = a_pair(root, random)
    path.unlink()
    return path.stem


def small_mask(root: Path, random: Random) -> str:
    _, path = a_pair(root, random)
    with Image.open(path) as image:
        image.resize((image.width // 2, image.height // 2)).save(path)
    return f"{path.parent.name}/{path.name}"


def turned_mask(root: Path, random: Random) -> str:
    _, path = a_pair(root, random)
    with Image.open(path) as image:
        image.transpose(Image.Transpose.ROTATE_90).save(path)
    return f"{path.parent.name}/{path.name}"


def coloured_mask(root: Path, random: Random) -> str:
    _, path = a_pair(root, random)
    with Image.open(path) as image:
        image.convert(("RGB", "RGBA", "LA")[random.integers(3)]).save(path)
    return f"{path.parent.name}/{path.name}"


def value_beyond(root: Path, random: Random) -> str:
    _, path = a_pair(root, random)
    values = np.array(Image.open(path)).astype(np.uint16)
    value = int(random.integers(3, 255)) if random.integers(2) else int(random.integers(256, 9000))
    values[3:9, 3:9] = value
    Image.fromarray(values if value > 255 else values.astype(np.uint8)).save(path)
    return f"{path.parent.name}/{path.name} holds the value {value}"


def black_and_white(root: Path, random: Random) -> str:
    for path in (root / "annotations").glob("*/*.png"):
        values = np.array(Image.open(path))
        Image.fromarray(np.where(values > 0, 255, 0).astype(np.uint8)).save(path)
    return "0 and 255 alone"


def broken_mask(root: Path, random: Random) -> str:
    path = a_pair(root, random)[random.integers(2)]
    path.write_bytes(path.read_bytes()[: int(random.integers(0, 60))])
    return f"{path.parent.name}/{path.name}"


def other_suffix(root: Path, random: Random) -> str:
    image, _ = a_pair(root, random)
    recoded(image, ".png")
    return f"{image.stem}.png"


def drawn_upright(root: Path, random: Random) -> str:
    image, mask = a_pair(root, random)
    turn(image, 6)
    with Image.open(mask) as truth:
        truth.transpose(Image.Transpose.ROTATE_270).save(mask)
    return f"{image.name} is turned by EXIF"


SEG_EDITS: tuple[Edit, ...] = (
    *(paletted, partly_ignored, spare_mask, foreign_beside_images, renamed_pair),
    *(turned_as_stored, coded),
)
SEG_FAULTS: tuple[Edit, ...] = (
    *(lost_mask, small_mask, turned_mask, coloured_mask, value_beyond, black_and_white),
    *(broken_mask, other_suffix, drawn_upright),
)

# COCO


def with_coco(change: Callable[[dict[str, Any], Random], Any]) -> Edit:
    """An edit of one of the two files; named like its change."""

    def edit(root: Path, random: Random) -> Any:
        path = root / f"instances_{('training', 'validation')[random.integers(2)]}.json"
        coco = json.loads(path.read_text())
        result = change(coco, random)
        path.write_text(json.dumps(coco))
        return result

    edit.__name__ = change.__name__
    return edit


def any_of(random: Random, entries: list[dict[str, Any]]) -> dict[str, Any]:
    return entries[random.integers(len(entries))]


@with_coco
def shuffled_entries(coco: dict[str, Any], random: Random) -> None:
    for part in ("images", "annotations"):
        random.shuffle(coco[part])


@with_coco
def spare_category(coco: dict[str, Any], random: Random) -> None:
    coco["categories"].append(dict(id=99, name="blue"))


@with_coco
def further_keys(coco: dict[str, Any], random: Random) -> None:
    coco["info"] = dict(year=2023)
    for annotation in coco["annotations"]:
        annotation.update(area=float(annotation["area"]), score=0.5)


@with_coco
def other_ids(coco: dict[str, Any], random: Random) -> None:
    for entry in coco["images"]:
        entry["id"] += 1000
    for annotation in coco["annotations"]:
        annotation.update(id=annotation["id"] * 7, image_id=annotation["image_id"] + 1000)


def drop_key(coco: dict[str, Any], random: Random) -> str:
    part, keys = (
        ("annotations", ("area", "bbox", "category_id", "image_id", "segmentation")),
        ("images", ("width", "height", "file_name")),
        ("categories", ("name",)),
    )[random.integers(3)]
    key = keys[random.integers(len(keys))]
    any_of(random, coco[part]).pop(key)
    return key


def wrong_link(coco: dict[str, Any], random: Random) -> str:
    key = ("image_id", "category_id")[random.integers(2)]
    any_of(random, coco["annotations"])[key] = 4711
    return "4711"


def same_id(coco: dict[str, Any], random: Random) -> str:
    part = ("images", "annotations")[random.integers(2)]
    coco[part][1]["id"] = coco[part][0]["id"]
    return f"id {coco[part][0]['id']}"


def corners(coco: dict[str, Any], random: Random) -> str:
    for annotation in coco["annotations"]:
        x, y, w, h = annotation["bbox"]
        annotation["bbox"] = [x, y, x + w, y + h]
    return "boxes are x, y, width, height"


def odd_box(coco: dict[str, Any], random: Random) -> str:
    box = ([500, 3, 9, 9], [5, 5, 0, 9], [5, 5, -9, 9], [1, 2, 3], "box", [1, 2, None, 4])
    annotation = any_of(random, coco["annotations"])
    annotation["bbox"] = box[random.integers(len(box))]
    return rf"annotation {annotation['id']}"


def odd_outline(coco: dict[str, Any], random: Random) -> str:
    outline = ([], [[1, 2, 3, 4]], [[1, 2, 3, 4, 5, 6, 7]], dict(size=[9, 9], counts="a"))
    annotation = any_of(random, coco["annotations"])
    annotation["segmentation"] = outline[random.integers(len(outline))]
    return rf"annotation {annotation['id']}"


def other_size(coco: dict[str, Any], random: Random) -> str:
    entry = any_of(random, coco["images"])
    if random.integers(2):
        entry.update(width=entry["height"], height=entry["width"])
    else:
        entry.update(width=entry["width"] * 2, height=entry["height"] * 2)
    return str(entry["file_name"]) + "|boxes are x, y"


def lost_picture(coco: dict[str, Any], random: Random) -> str:
    any_of(random, coco["images"])["file_name"] = "nowhere.jpg"
    return "nowhere.jpg"


def capital_category(coco: dict[str, Any], random: Random) -> str:
    coco["categories"][0]["name"] = "Red"
    return "'Red'"


def other_order(coco: dict[str, Any], random: Random) -> str:
    coco["categories"].reverse()
    return r"\('green', 'red'\)"


def no_objects(coco: dict[str, Any], random: Random) -> str:
    coco["annotations"] = []
    return "no annotations"


def cut_json(root: Path, random: Random) -> str:
    path = root / f"instances_{('training', 'validation')[random.integers(2)]}.json"
    text = path.read_bytes()
    path.write_bytes(text[: int(random.integers(1, len(text) - 1))])
    return f"{path.name} is no whole JSON"


def broken_picture(root: Path, random: Random) -> str:
    image, _ = a_pair(root, random)
    image.write_bytes(image.read_bytes()[: int(random.integers(0, 500))])
    return f"{image.parent.name}/{image.name}"


def boxes_drawn_upright(root: Path, random: Random) -> str:
    split = ("training", "validation")[random.integers(2)]
    path = root / f"instances_{split}.json"
    coco = json.loads(path.read_text())
    entry = any_of(random, coco["images"])
    turn(root / "images" / split / entry["file_name"], 8)
    entry.update(width=entry["height"], height=entry["width"])
    for annotation in coco["annotations"]:
        if annotation["image_id"] == entry["id"]:
            annotation["bbox"] = [2, 2, 20, 20]
    path.write_text(json.dumps(coco))
    return f"{entry['file_name']} is turned by EXIF"


COCO_EDITS: tuple[Edit, ...] = (
    *(shuffled_entries, spare_category, further_keys, other_ids, turned_as_stored),
)
COCO_FAULTS: tuple[Edit, ...] = (
    *map(with_coco, (drop_key, wrong_link, same_id, corners, odd_box, odd_outline, other_size)),
    *map(with_coco, (lost_picture, capital_category, other_order, no_objects)),
    *(cut_json, broken_picture, boxes_drawn_upright),
)
