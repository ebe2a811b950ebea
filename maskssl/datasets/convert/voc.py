"""Pascal VOC's XML files of boxes into COCO files."""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from ..checks.errors import DataError
from ..checks.pictures import look_at
from ..folders import image_files, names_in, split_folders
from .coco_writer import Annotated, Object, write_coco

_SPLITS = ("train", "val", "test")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def convert_voc(root: Path) -> dict[Path, tuple[int, int]]:
    """Write ``instances_{train,val,test}.json`` for the splits of a VOC data set.

    Categories are the names found in any split, sorted. Corners count from 1 and belong to the
    box, as in VOC, so the width is xmax - xmin + 1. 'difficult' objects are ignored by scores.

    Args:
        root: folder with Annotations, JPEGImages and ImageSets/Main, as VOC is unpacked, or with
            folders of the splits in which each picture lies beside its XML.

    Returns:
        File written -> number of pictures, and of objects.

    Raises:
        DataError: names the file and the remedy.
    """
    found = {split: list(_pairs(root, split)) for split in _SPLITS}
    if not found["train"]:
        raise DataError(
            f"{root} has neither ImageSets/Main/train.txt nor folders train and val of pictures "
            "with their XML"
        )
    read = {
        split: [(picture, *_read(xml)) for picture, xml in pairs] for split, pairs in found.items()
    }
    pictures = [entry for entries in read.values() for entry in entries]
    names = sorted({name for _, _, objects in pictures for name, *_ in objects})
    written = {}
    for split, entries in read.items():
        if entries:
            target = root / f"instances_{split}.json"
            annotated = (
                Annotated(
                    os.path.relpath(picture, root),
                    size or look_at(picture).size,
                    [Object(names.index(name), box, (), hard) for name, box, hard in objects],
                )
                for picture, size, objects in entries
            )
            written[target] = write_coco(target, annotated, names)
    return written


def _pairs(root: Path, split: str) -> Iterator[tuple[Path, Path]]:
    """Pictures and their XML."""
    listed = root / "ImageSets" / "Main" / f"{split}.txt"
    if listed.is_file():
        pictures = {path.stem: path for path in image_files(root / "JPEGImages")}
        for name in names_in(listed):
            if name not in pictures:
                raise DataError(f"{listed} names {name!r}, of which JPEGImages has no picture")
            yield pictures[name], root / "Annotations" / f"{name}.xml"
    elif folder := split_folders(root).get(split):
        yield from ((path, path.with_suffix(".xml")) for path in image_files(folder))


def _read(xml: Path) -> tuple[tuple[int, int] | None, list[tuple[str, tuple, bool]]]:
    """Size, if it is told, and objects: name, box, difficult."""
    try:
        tree = ElementTree.parse(xml).getroot()
    except FileNotFoundError as error:
        raise DataError(f"there is no {xml} for its picture; write one, or drop both") from error
    # the others are for encodings that expat does not know, such as GB2312
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise DataError(f"{xml} is no whole XML ({error}); write it anew, in UTF-8") from error
    size = tuple(_side(tree, side, xml) for side in ("width", "height"))
    objects = []
    for found in tree.iter("object"):
        name = (found.findtext("name") or "").strip()
        corners = [found.findtext(f"bndbox/{corner}") for corner in _CORNERS]
        x1, y1, x2, y2 = (_number(corner) for corner in corners)
        if not all(map(math.isfinite, (x1, y1, x2, y2))):
            raise DataError(
                f"{xml}: the object {name!r} has the bndbox {corners}; give four numbers "
                f"({', '.join(_CORNERS)})"
            )
        if not name:
            raise DataError(f"{xml} has an object without a name; give it one")
        x1, y1 = max(x1 - 1, 0), max(y1 - 1, 0)
        hard = (found.findtext("difficult") or "0").strip() == "1"
        objects.append((name, (x1, y1, x2 - x1, y2 - y1), hard))
    return (size[0], size[1]) if all(size) else None, objects


def _side(tree: ElementTree.Element, side: str, xml: Path) -> int:
    """Width or height that is told; 0 where none is."""
    told = (tree.findtext(f"size/{side}") or "").strip() or "0"
    value = _number(told)
    if value < 0 or not value.is_integer():
        raise DataError(
            f"{xml} has the {side} {told!r}; give the picture's in pixels, or leave out size, and "
            "the picture itself is asked"
        )
    return int(value)


def _number(text: str | None) -> float:
    """NaN where there is none; tools write 12 as 12.0 too."""
    try:
        return float(text or "")
    except ValueError:
        return math.nan
