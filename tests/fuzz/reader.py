"""What a small set holds, read with Pillow and the standard library alone: nothing of ours."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SUFFIXES = {"jpg", "jpeg", "png", "ppm", "bmp", "webp", "tif", "tiff"}


def folder_samples(folder: Path) -> set[tuple[str, int]]:
    """(file, label) of an ImageFolder; hidden and foreign entries count for nothing."""
    classes = sorted(
        entry for entry in os.listdir(folder) if visible(entry) and (folder / entry).is_dir()
    )
    found = set()
    for label, name in enumerate(classes):
        for root, folders, files in os.walk(folder / name, followlinks=True):
            folders[:] = [entry for entry in folders if visible(entry)]
            for file in filter(visible, files):
                path = os.path.join(root, file)
                if file.rpartition(".")[2].lower() in SUFFIXES and os.path.isfile(path):
                    found.add((path, label))
    return found


def visible(name: str) -> bool:
    return not name.startswith(".") and name not in {"__MACOSX", "Thumbs.db"}


def list_samples(path: Path) -> list[tuple[str, int]]:
    """(file, label) of a list of 'path label', below the list's folder."""
    pairs = [line.rsplit(" ", 1) for line in path.read_text().split("\n") if line.strip()]
    return [(os.path.normpath(path.parent / name), int(label)) for name, label in pairs]


def masks(root: Path, split: str, codes: dict[int, int]) -> dict[str, tuple[Any, Any]]:
    """Name -> (pixels as stored, RGB; labels)."""
    found = {}
    for path in sorted((root / "images" / split).rglob("*.jpg")):
        if visible(path.name):
            name = path.relative_to(root / "images" / split).as_posix()
            mask = root / "annotations" / split / (name[:-4] + ".png")
            values = np.array(Image.open(mask)).astype(int)
            labels = np.vectorize(lambda value: codes.get(value, value))(values)
            found[name] = (stored(path), labels)
    return found


def objects(path: Path, classes: tuple[str, ...]) -> dict[str, list[tuple[Any, ...]]]:
    """Picture -> (class, box x1 y1 x2 y2) of its objects, sorted; those without are left out."""
    coco = json.loads(path.read_text())
    names = {category["id"]: category["name"] for category in coco["categories"]}
    files = {image["id"]: image["file_name"] for image in coco["images"]}
    found: dict[str, list[tuple[Any, ...]]] = {}
    for annotation in coco["annotations"]:
        name = names[annotation["category_id"]]
        if name in classes:
            x, y, w, h = annotation["bbox"]
            found.setdefault(files[annotation["image_id"]], []).append((name, x, y, x + w, y + h))
    return {name: sorted(boxes) for name, boxes in found.items()}


def stored(path: Path) -> NDArray[np.uint8]:
    """Pixels (H, W, 3) as the file has them, EXIF ignored."""
    return np.array(Image.open(path).convert("RGB"))
