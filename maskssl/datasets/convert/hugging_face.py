"""Labelled images of Hugging Face's ``datasets``, parquet or imagefolder, as folders."""

from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from ..checks.errors import DataError
from ..folders import ENDINGS

_EXTRA = "hf"


def convert_hugging_face(source: str, target: Path) -> dict[Path, tuple[int, int]]:
    """Write each split as ``TARGET/SPLIT/CLASS/NUMBER.ENDING``, the bytes as they are stored.

    Args:
        source: a local folder (of images, with or without metadata.csv, or of parquet files), or
            the name of a data set that ``datasets`` will fetch.
        target: folder to write, which must not be there. '/' in names of classes becomes '_'.

    Returns:
        Folder of a split -> number of images, and of classes.

    Raises:
        DataError: the package is not installed, or there is no one column of images or labels.
    """
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise DataError(
            "Hugging Face's data sets are read by their package datasets, which is not installed; "
            f"install the extra {_EXTRA}: pip install 'maskssl[{_EXTRA}]'"
        ) from error
    if target.exists():
        raise DataError(f"{target} is there already; name another folder, or remove it")
    return {
        target / str(split): _write_split(rows, target / str(split), f"{source} ({split})")
        for split, rows in load_dataset(source).items()
    }


def _write_split(rows: Any, folder: Path, name: str) -> tuple[int, int]:
    from datasets import Image as Pictures

    images = _column(rows, "Image", name)
    labels = _column(rows, "ClassLabel", name)
    classes = [label.replace("/", "_") for label in rows.features[labels].names]
    twice = [label for label, count in Counter(classes).items() if count > 1]
    if twice:
        raise DataError(f"{name} has two classes {twice[0]!r}; rename one")
    for label in classes:
        (folder / label).mkdir(parents=True)
    stored = rows.select_columns([images, labels]).cast_column(images, Pictures(decode=False))
    for number, row in enumerate(stored):
        if row[labels] is None or row[labels] < 0:
            raise DataError(f"{name}: row {number} has no label; leave the split out")
        content = row[images]["bytes"] or Path(row[images]["path"]).read_bytes()
        path = folder / classes[row[labels]] / f"{number:08d}{_ending(content, name, number)}"
        path.write_bytes(content)
    return len(stored), len(classes)


_SAME = {"MPO": "JPEG"}  # a JPEG with more than one picture, as phones write it


def _column(rows: Any, kind: str, name: str) -> str:
    found = [key for key, feature in rows.features.items() if type(feature).__name__ == kind]
    if len(found) != 1:
        raise DataError(
            f"{name} has the columns {', '.join(rows.features)}, and {len(found)} of the type "
            f"{kind}; it takes one"
        )
    return found[0]


def _ending(content: bytes, name: str, number: int) -> str:
    """Of the file; one that folders of images do not have would be left out of every run."""
    try:
        with Image.open(BytesIO(content)) as image:
            stored = image.format or "format without a name"
    except UnidentifiedImageError as error:
        raise DataError(
            f"{name}: row {number} holds no image (it starts with {content[:12]!r}); remove it"
        ) from error
    ending = f".{_SAME.get(stored, stored)}".lower()
    if ending not in ENDINGS:
        raise DataError(
            f"{name}: row {number} is a {stored}, and pictures in folders end with "
            f"{', '.join(ENDINGS)}; write the set's pictures as one of these"
        )
    return ending
