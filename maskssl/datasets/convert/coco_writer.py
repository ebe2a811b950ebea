"""Objects read from other formats, written as a COCO file."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..checks.errors import DataError

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Object:
    """One object of a picture.

    Attributes:
        label: from 0.
        box: x, y, width, height in pixels.
        polygon: x1, y1, x2, y2, ... in pixels; empty where only a box is drawn.
        ignored: counts for nothing in scores (VOC's 'difficult').
    """

    label: int
    box: Box
    polygon: Sequence[float] = ()
    ignored: bool = False

    @property
    def area(self) -> float:
        """Of the polygon by the shoelace formula, or of the box."""
        xs, ys = self.polygon[::2], self.polygon[1::2]
        if not xs:
            return self.box[2] * self.box[3]
        crosses = (xs[i - 1] * ys[i] - xs[i] * ys[i - 1] for i in range(len(xs)))
        return abs(sum(crosses)) / 2


@dataclass(frozen=True)
class Annotated:
    """A picture and its objects.

    Attributes:
        file_name: below the data set's folder.
        size: width and height that the objects are drawn on.
        objects: of the picture.
    """

    file_name: str
    size: tuple[int, int]
    objects: Sequence[Object] = field(default_factory=list)


def write_coco(path: Path, pictures: Iterable[Annotated], names: Sequence[str]) -> tuple[int, int]:
    """Write pictures as a COCO file of these categories, which count from 1.

    Returns:
        Number of pictures, and of objects.

    Raises:
        DataError: the file is there already.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, picture in enumerate(pictures, 1):
        width, height = picture.size
        images.append(dict(id=number, file_name=picture.file_name, width=width, height=height))
        for found in picture.objects:
            entry = dict(
                id=len(annotations) + 1,
                image_id=number,
                category_id=found.label + 1,
                bbox=list(found.box),
                area=found.area,
                iscrowd=int(found.ignored),
            )
            if found.polygon:
                entry["segmentation"] = [list(found.polygon)]
            annotations.append(entry)
    categories = [dict(id=number, name=name) for number, name in enumerate(names, 1)]
    content = dict(images=images, annotations=annotations, categories=categories)
    try:
        with open(path, "x", encoding="utf-8") as file:
            json.dump(content, file)
    except FileExistsError as error:
        raise DataError(f"{path} is there already; remove it to convert anew") from error
    return len(images), len(annotations)
