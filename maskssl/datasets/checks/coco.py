"""COCO annotation files, read whole: what they hold, and whether a detector can use it."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import DataError
from .pictures import QUICK, Picture, check_raster, look_at, sample

_FEW = 0.01  # share of objects that may be empty or outside; COCO itself has a handful
_KEYS = {
    "images": ("id", "file_name", "width", "height"),
    "annotations": ("id", "image_id", "category_id", "bbox", "area"),
    "categories": ("id", "name"),
}


@dataclass(frozen=True)
class CocoFile:
    """A COCO file whose parts fit each other.

    Attributes:
        path: of the file.
        images: by id.
        annotations: all, in the file's order.
        categories: names by id, in the file's order.
    """

    path: str
    images: Mapping[Any, Mapping[str, Any]]
    annotations: Sequence[Mapping[str, Any]]
    categories: Mapping[Any, str]

    def classes_used(self, classes: Sequence[str]) -> tuple[str, ...]:
        """Those of ``classes`` that are categories, in the order of their labels."""
        return tuple(name for name in self.categories.values() if name in classes)


def read_coco(path: str | Path, with_masks: bool) -> CocoFile:
    """Read a file and refuse what pycocotools or mmdet would stumble over or drop in silence.

    Args:
        path: of the JSON.
        with_masks: whether every object needs a segmentation.

    Raises:
        DataError: names the file, the entry, and the remedy.
    """
    content = _parsed(path)
    for part, keys in _KEYS.items():
        _check_part(content, part, keys, path)
    images = _by_id(content["images"], "image", path)
    categories = {
        key: entry["name"] for key, entry in _by_id(content["categories"], "category", path).items()
    }
    twice = [name for name, count in Counter(categories.values()).items() if count > 1]
    if twice:
        raise DataError(f"{path} has {twice[0]!r} twice in categories; give each its own name")
    _by_id(content["annotations"], "annotation", path)
    for image in content["images"]:
        _check_sides(image, path)
    files = Counter(str(entry["file_name"]) for entry in content["images"])
    repeated = [name for name, count in files.items() if count > 1]
    if repeated:
        raise DataError(
            f"{path} lists the picture {repeated[0]!r} {files[repeated[0]]} times; keep one entry, "
            "with all its annotations"
        )
    for annotation in content["annotations"]:
        _check_links(annotation, images, categories, path)
        if with_masks and not annotation.get("ignore"):
            _check_segmentation(annotation, images[annotation["image_id"]], path)
    return CocoFile(str(path), images, content["annotations"], categories)


def _parsed(path: str | Path) -> dict[str, Any]:
    try:
        content = json.loads(Path(path).read_text("utf-8"))  # as pycocotools reads it
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} is no whole JSON file in UTF-8 ({error}); write or copy it anew"
        ) from error
    if not isinstance(content, dict):
        raise DataError(
            f"{path} holds a {type(content).__name__}, and not COCO's images, annotations and "
            "categories; convert it to COCO's format"
        )
    return content


def _check_part(content: Mapping[str, Any], part: str, keys: Sequence[str], path: Any) -> None:
    entries = content.get(part)
    if not isinstance(entries, list) or not entries:
        known = ", ".join(map(str, content))
        raise DataError(f"{path} has no {part} (it has {known}); COCO's format needs a list there")
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise DataError(f"{path}: {part}[{number}] is {entry!r}, and no object; correct it")
        for key in keys:
            if entry.get(key) is None:
                hint = "; w * h of its box will do" if key == "area" else ""
                raise DataError(
                    f"{path}: {part}[{number}] (id {entry.get('id')!r}) has no {key!r}; add it"
                    f"{hint}"
                )


def _by_id(entries: Sequence[Mapping[str, Any]], what: str, path: Any) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for entry in entries:
        if entry["id"] in found:
            raise DataError(f"{path} has two entries of the {what} id {entry['id']!r}; renumber")
        found[entry["id"]] = entry
    return found


def _check_sides(image: Mapping[str, Any], path: Any) -> None:
    for side in ("width", "height"):
        if not isinstance(image[side], (int, float)):
            raise DataError(
                f"{path}: the image {image['id']!r} has the {side} {image[side]!r}; give a number"
            )


def _check_links(
    annotation: Mapping[str, Any],
    images: Mapping[Any, Any],
    categories: Mapping[Any, str],
    path: Any,
) -> None:
    name = f"{path}: the annotation {annotation['id']!r}"
    for key, known, plural in (
        ("image_id", images, "images"),
        ("category_id", categories, "categories"),
    ):
        if annotation[key] not in known:
            raise DataError(
                f"{name} has {key} {annotation[key]!r}, and {plural} has no such id; remove it, or "
                f"add what it belongs to to {plural}"
            )
    box = annotation["bbox"]
    if (
        not isinstance(box, list)
        or len(box) != 4
        or not all(isinstance(v, (int, float)) and math.isfinite(v) for v in box)
    ):
        raise DataError(f"{name} has the bbox {box!r}; give four numbers: x, y, width, height")
    if not isinstance(annotation["area"], (int, float)):
        raise DataError(f"{name} has the area {annotation['area']!r}; give a number")


def _check_segmentation(annotation: Mapping[str, Any], image: Mapping[str, Any], path: Any) -> None:
    name = f"{path}: the annotation {annotation['id']!r}"
    outline = annotation.get("segmentation")
    if not outline:
        raise DataError(
            f"{name} has no segmentation, and the model predicts masks; add outlines, or train "
            "and score boxes alone by maskssl train --boxes-only"
        )
    if isinstance(outline, dict):
        size = [image["height"], image["width"]]
        if outline.get("counts") is None or list(outline.get("size", ())) != size:
            raise DataError(
                f"{name} has a run-length mask of size {outline.get('size')}, and its picture "
                f"{image['file_name']!r} has {size} (height, width); correct one of them"
            )
        return
    for polygon in outline:
        if (
            not isinstance(polygon, list)
            or len(polygon) < 6
            or len(polygon) % 2
            or not all(isinstance(v, (int, float)) and math.isfinite(v) for v in polygon)
        ):
            raise DataError(
                f"{name} has an outline of {len(polygon) if isinstance(polygon, list) else polygon}"
                " numbers; a polygon has x and y of three points at least, each a number"
            )


def check_classes(coco: CocoFile, classes: Sequence[str]) -> list[str]:
    """Refuse class names that are no categories, or in another order than labels will be.

    mmdet numbers labels in the file's order of categories, whatever the order of ``classes``.

    Returns:
        Notes on categories that are left out.

    Raises:
        DataError: names the class and the nearest category, or both orders.
    """
    names = tuple(coco.categories.values())
    for name in classes:
        if name not in names:
            near = [other for other in names if other.lower().strip() == name.lower().strip()]
            hint = f"; write it {near[0]!r}" if near else ""
            raise DataError(
                f"the class {name!r} of metainfo is no category of {coco.path}, which has "
                f"{', '.join(map(repr, names[:10]))}{hint}; its objects would be dropped: "
                "correct the name"
            )
    used = coco.classes_used(classes)
    if used != tuple(classes):
        raise DataError(
            f"metainfo names the classes {tuple(classes)}, and {coco.path} has them in the order "
            f"{used}, which labels follow; name them in the file's order"
        )
    left = Counter(
        coco.categories[annotation["category_id"]]
        for annotation in coco.annotations
        if coco.categories[annotation["category_id"]] not in classes
    )
    if not left:
        return []
    shown = ", ".join(f"{name} ({count})" for name, count in left.most_common(3))
    return [
        f"{sum(left.values()):,} of {len(coco.annotations):,} objects are of categories that are "
        f"none of the classes, and are left out: {shown}."
    ]


def check_boxes(coco: CocoFile) -> list[str]:
    """Refuse a file whose boxes are no x, y, width, height within their pictures.

    Returns:
        Notes on few that are dropped.

    Raises:
        DataError: too many are empty or leave their picture; the first is named.
    """
    empty, outside = [], []
    for annotation in coco.annotations:
        x, y, w, h = annotation["bbox"]
        image = coco.images[annotation["image_id"]]
        inside_w = min(x + w, image["width"]) - max(x, 0)
        inside_h = min(y + h, image["height"]) - max(y, 0)
        if w < 1 or h < 1 or annotation["area"] <= 0 or inside_w <= 0 or inside_h <= 0:
            empty.append(annotation)
        elif inside_w < w - 2 or inside_h < h - 2:  # rounding moves an edge by a pixel or two
            outside.append(annotation)
    notes = []
    for found, what in ((empty, "empty or outside their picture"), (outside, "partly outside")):
        if not found:
            continue
        first = found[0]
        text = (
            f"{len(found):,} of {len(coco.annotations):,} objects are {what}, e.g. the annotation "
            f"{first['id']!r} with the box {first['bbox']} and area {first['area']} in a picture "
            f"of {coco.images[first['image_id']]['width']} x "
            f"{coco.images[first['image_id']]['height']}"
        )
        if len(found) > _FEW * len(coco.annotations):
            raise DataError(
                f"{coco.path}: {text}; boxes are x, y, width, height in pixels of the picture, and "
                "width and height those of the picture: correct them"
            )
        notes.append(f"{text}.")
    return notes


def id_notes(coco: CocoFile) -> list[str]:
    """What the metric of mmdet makes of the annotation 0: nothing that finds it counts as a hit."""
    if not any(annotation["id"] == 0 for annotation in coco.annotations):
        return []
    return [
        "an annotation has the id 0, by which COCO's evaluation means that a detection meets none: "
        "one that finds it is scored as a false alarm. Number annotations from 1."
    ]


def check_scored(coco: CocoFile) -> None:
    """Refuse what COCO's evaluation, at the first validation, would end in a KeyError by.

    Raises:
        DataError: names the first annotation.
    """
    for annotation in coco.annotations:
        if "iscrowd" not in annotation:
            raise DataError(
                f"{coco.path}: the annotation {annotation['id']!r} has no 'iscrowd', by which "
                "scoring tells objects from crowds; add iscrowd: 0 to each object"
            )


def check_pictures(
    coco: CocoFile, folder: str, applies_orientation: bool, limit: int | None = QUICK
) -> list[Picture]:
    """Refuse missing pictures, and sizes that are not those of the pictures.

    Args:
        coco: the file.
        folder: where its file names begin.
        applies_orientation: whether loading turns pictures upright by EXIF.
        limit: most pictures to open; None opens all.

    Raises:
        DataError: names the first picture.
    """
    images = list(coco.images.values())
    missing = [image for image in images if not Path(folder, image["file_name"]).is_file()]
    if missing:
        raise DataError(
            f"{len(missing):,} of {len(images):,} pictures of {coco.path} are not there, e.g. "
            f"{Path(folder, missing[0]['file_name'])}; bring them, or set data_prefix to the "
            "folder that file_name begins at"
        )
    pictures = []
    for number in sample(len(images), limit):
        image = images[number]
        picture = look_at(Path(folder, image["file_name"]))
        size = image["width"], image["height"]
        check_raster(picture, size, coco.path, applies_orientation)
        pictures.append(picture)
    return pictures


def objects_per_class(coco: CocoFile, classes: Sequence[str]) -> list[int]:
    """Objects of each class, in the order of ``classes``."""
    counts = Counter(coco.categories[annotation["category_id"]] for annotation in coco.annotations)
    return [counts[name] for name in classes]
