"""YOLO's data.yaml with labels as text, boxes or polygons, into COCO files."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from mmengine import fileio

from ..checks.errors import DataError
from ..checks.pictures import look_at
from ..folders import image_files, names_in, text_in
from .coco_writer import Annotated, Object, write_coco

_SPLITS = ("train", "val", "test")
_ROUNDING = 1e-3  # shares of a side that lie outside 0 to 1 by no more are the edge


def convert_yolo(root: Path) -> dict[Path, tuple[int, int]]:
    """Write ``instances_{train,val,test}.json`` for the splits of a YOLO data set.

    Args:
        root: folder with one YAML file of names and splits. ``images`` in a picture's path is
            ``labels`` in that of its text; a picture without one has no objects.

    Returns:
        File written -> number of pictures, and of objects.

    Raises:
        DataError: names the file, the line and the remedy.
    """
    path, content = _described(root)
    names = content.get("names")
    if isinstance(names, Mapping):
        if sorted(names, key=str) != sorted(range(len(names)), key=str):
            raise DataError(
                f"{path} numbers the names {', '.join(map(str, names))}; number them from 0 to "
                f"{len(names) - 1}, as the labels are"
            )
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        raise DataError(f"{path} has names: {names!r}; list the names of the classes there")
    written = {}
    for split in _SPLITS:
        if not content.get(split):
            continue
        pictures = list(_pictures(root, path, content, split))
        if not pictures:
            raise DataError(f"{path}: there are no images at {split}: {content[split]!r}")
        texts = [_text_of(root, picture) for picture in pictures]
        if not any(text.is_file() for text in texts):
            raise DataError(
                f"none of the {len(pictures)} images of {split} has a text of labels, such as "
                f"{texts[0]}; bring the labels there"
            )
        target = root / f"instances_{split}.json"
        annotated = (_annotated(root, picture, len(names)) for picture in pictures)
        written[target] = write_coco(target, annotated, [str(name) for name in names])
    return written


def _described(root: Path) -> tuple[Path, dict[str, Any]]:
    found = sorted([*root.glob("*.yaml"), *root.glob("*.yml")])
    if len(found) != 1:
        raise DataError(
            f"{root} needs one data.yaml of names and splits, and has {found or 'none'}"
        )
    try:
        content = fileio.load(found[0])
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{found[0]} is no YAML in UTF-8 ({error}); correct it") from error
    if not isinstance(content, dict):
        raise DataError(f"{found[0]} holds no keys; write names, train and val there")
    return found[0], content


def _pictures(root: Path, path: Path, content: Mapping[str, Any], split: str) -> Iterator[Path]:
    """Pictures of a split: folders, or text files that list them."""
    places = content[split]
    for place in places if isinstance(places, list) else [places]:
        # Roboflow writes ../train/images and means train/images
        tries = (root / place, root / str(place).removeprefix("../"), _base(root, content) / place)
        there = next((one for one in tries if one.exists()), None)
        if there is None:
            raise DataError(f"{path} names {split}: {place}, and there is no {tries[0]}")
        if there.suffix == ".txt":
            yield from (there.parent / line for line in names_in(there))
        else:
            yield from image_files(there)


def _base(root: Path, content: Mapping[str, Any]) -> Path:
    return root / str(content.get("path") or "")


def _annotated(root: Path, picture: Path, num_classes: int) -> Annotated:
    width, height = look_at(picture).upright  # as YOLO's own loading turns it
    text = _text_of(root, picture)
    lines = text_in(text).splitlines() if text.is_file() else []
    objects = [
        _object(line.split(), width, height, num_classes, f"{text}, line {number}")
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]
    return Annotated(os.path.relpath(picture, root), (width, height), objects)


def _text_of(root: Path, picture: Path) -> Path:
    """Where a picture's labels are: 'labels' for the last 'images' in its path, else beside it."""
    parts = list(Path(os.path.relpath(picture.parent, root)).parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return root.joinpath(*parts, f"{picture.stem}.txt")


def _object(words: Sequence[str], width: int, height: int, num_classes: int, where: str) -> Object:
    try:
        label, *values = int(words[0]), *map(float, words[1:])
    except ValueError as error:
        raise DataError(
            f"{where}: {' '.join(words)!r} is no class and numbers; correct it"
        ) from error
    if not 0 <= label < num_classes:
        raise DataError(f"{where} has the class {label}, and names has 0 to {num_classes - 1}")
    if len(values) != 4 and (len(values) < 6 or len(values) % 2):
        raise DataError(
            f"{where} has {len(values)} numbers behind the class; a box has four (the centre's x "
            "and y, width, height), a polygon x and y of three points at least"
        )
    strange = [value for value in values if not -_ROUNDING <= value <= 1 + _ROUNDING]
    if strange:
        raise DataError(f"{where} has {strange[0]}; numbers are shares of a side, 0 to 1")
    if len(values) == 4:
        x, y, w, h = values
        return Object(label, ((x - w / 2) * width, (y - h / 2) * height, w * width, h * height))
    xs, ys = [x * width for x in values[::2]], [y * height for y in values[1::2]]
    polygon = [number for point in zip(xs, ys, strict=True) for number in point]
    box = (min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))
    return Object(label, box, polygon)
