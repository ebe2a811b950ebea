"""Labelled images in folders of classes: a training set and a test set."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from ..checkpoints.shards import sha256_of
from ..datasets.folders import image_files, split_folders, subfolders
from ..errors import MaskSSLError


@dataclass(frozen=True)
class ImageSet:
    """Images with classes. Making one lists files and opens none.

    Attributes:
        root: of the class folders.
        files: relative to it, class by class, sorted.
        labels: (N,) int64.
        classes: names, sorted.
    """

    root: Path
    files: tuple[str, ...]
    labels: Tensor
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.files)

    @property
    def whole(self) -> bool:
        """Whether the encoder sees all of a picture, or its middle."""
        return False

    @property
    def read(self) -> tuple[str, ...]:
        """All files that belong to it, relative to the root."""
        return self.files

    @cached_property
    def content(self) -> str:
        """A hash of all names and bytes: every file is read once.

        Raises:
            MaskSSLError: a file cannot be read.
        """
        found = hashlib.sha256()
        for name in self.read:
            try:
                found.update(f"{name} {sha256_of(self.root / name)}\n".encode(errors="replace"))
            except OSError as error:
                raise MaskSSLError(
                    f"{self.root / name} cannot be read ({error.strerror}); make it readable or "
                    "remove it"
                ) from error
        return found.hexdigest()

    @property
    def listing(self) -> str:
        """A hash of names and sizes alone, which opens no file."""
        sizes = [f"{name} {(self.root / name).stat().st_size}" for name in self.read]
        return hashlib.sha256(json.dumps(sizes).encode()).hexdigest()


def labelled_sets(folder: str | Path) -> tuple[ImageSet, ImageSet]:
    """The training and test images of DIR/train/CLASS/* and DIR/test/CLASS/* (or val).

    Args:
        folder: splits may have any usual name (Training, val, seg_test). Where there are a val and
            a test split, test is scored and val is not used: settings are chosen on a part of the
            training images.

    Raises:
        MaskSSLError: no such splits, no class folders, or classes that differ.
    """
    splits = split_folders(folder)
    if not splits:
        raise MaskSSLError(
            f"--data {folder}: no training and test folders there; give a folder of "
            "train/CLASS/* and test/CLASS/* (or val/CLASS/*)"
        )
    train, test = splits["train"], splits.get("test", splits.get("val"))
    if test is None or subfolders(train) != subfolders(test):
        raise MaskSSLError(
            f"--data {folder}: {train} has the classes {_some(subfolders(train))} and {test} has "
            f"{_some(subfolders(test) if test else [])}; both need the same class folders"
        )
    return image_set(train), image_set(test)


def image_set(root: Path) -> ImageSet:
    """The images of ROOT/CLASS/* at any depth.

    Raises:
        MaskSSLError: fewer than two classes, or a class without images.
    """
    classes = subfolders(root)
    if len(classes) < 2:
        raise MaskSSLError(f"{root} has {len(classes)} class folders; give two or more")
    # in one walk, as trainings and their tests list them: 'rose hip/1.jpg' before 'rose/1.jpg'
    files = [path.relative_to(root).as_posix() for path in image_files(root)]
    files = [file for file in files if "/" in file]  # one beside the class folders has no class
    label_of = {name: label for label, name in enumerate(classes)}
    labels = [label_of[file.split("/")[0]] for file in files]
    there = set(labels)
    if missing := [name for name in classes if label_of[name] not in there]:
        raise MaskSSLError(f"{root / missing[0]} has no images; add some or remove the class")
    return ImageSet(root, tuple(files), torch.tensor(labels), tuple(classes))


def _some(names: Sequence[str]) -> str:
    return f"{', '.join(names[:5])}{', …' if len(names) > 5 else ''} ({len(names)})"
