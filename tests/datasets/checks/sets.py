"""Small good sets of two classes, red and green squares, as people have them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIDE = 48
DENSE_CLASSES = ("background", "red", "green")


def write_image_folder(root: Path, count: int = 4, ending: str = "jpg") -> Path:
    """``root/{train,val}/CLASS/*``; classes apple, pear, plum."""
    for split, offset in (("train", 0), ("val", 500)):
        for label, name in enumerate(("apple", "pear", "plum")):
            (root / split / name).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                draw = np.random.default_rng(1000 * label + offset + number)
                pixels = draw.integers(0, 90, (SIDE, SIDE, 3), dtype=np.uint8)
                pixels[8:30, 8:30] = np.eye(3)[label] * 200 + 40
                Image.fromarray(pixels).save(root / split / name / f"{number:03d}.{ending}")
    return root


def write_dense(
    root: Path,
    values: tuple[int, int, int] = (0, 1, 2),
    counts: tuple[int, int] = (4, 2),
    edit: Callable[[dict[str, Any]], Any] | None = None,
) -> Path:
    """mmseg's folders and COCO files of the same pictures, SIDE x SIDE + 16."""
    for split, count in zip(("training", "validation"), counts, strict=True):
        (root / "images" / split).mkdir(parents=True)
        (root / "annotations" / split).mkdir(parents=True)
        coco: dict[str, Any] = dict(
            images=[],
            annotations=[],
            categories=[dict(id=3, name="red"), dict(id=7, name="green")],
        )
        for number in range(count):
            draw = np.random.default_rng(number + 99 * (split == "validation"))
            pixels = draw.integers(0, 90, (SIDE, SIDE + 16, 3), dtype=np.uint8)
            truth = np.zeros((SIDE, SIDE + 16), np.uint8)
            for label in (1, 2):
                x, y = 32 * (label - 1) + int(draw.integers(0, 12)), int(draw.integers(0, 28))
                pixels[y : y + 20, x : x + 20] = (230, 40, 40) if label == 1 else (40, 230, 40)
                truth[y : y + 20, x : x + 20] = label
                coco["annotations"].append(
                    dict(
                        id=len(coco["annotations"]) + 1,
                        image_id=number + 1,
                        category_id=3 if label == 1 else 7,
                        bbox=[x, y, 20, 20],
                        area=400,
                        iscrowd=0,
                        segmentation=[[x, y, x + 20, y, x + 20, y + 20, x, y + 20]],
                    )
                )
            name = f"{number:03d}"
            Image.fromarray(pixels).save(root / "images" / split / f"{name}.jpg", quality=95)
            mask = Image.fromarray(np.array(values, np.uint8)[truth])
            mask.save(root / "annotations" / split / f"{name}.png")
            entry = dict(id=number + 1, file_name=f"{name}.jpg", width=SIDE + 16, height=SIDE)
            coco["images"].append(entry)
        if edit:
            edit(coco)
        (root / f"instances_{split}.json").write_text(json.dumps(coco))
    return root


def turn(path: Path, orientation: int) -> None:
    """Write a picture's EXIF orientation; its raster stays."""
    with Image.open(path) as image:
        exif = image.getexif()
        exif[0x0112] = orientation
        image.save(path, exif=exif, quality=95)
