"""What a folder of the user's own images offers: labels, a validation split, or neither."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..datasets.folders import ENDINGS, holds_images, image_files
from ..errors import MaskSSLError

VAL_EVERY = 5  # without a val folder, each fifth image of a class validates


@dataclass(frozen=True)
class ImageData:
    """Where to pretrain and where to classify.

    Attributes:
        pretrain_root: folder searched for images at any depth.
        num_images: images there.
        class_root: folder of ``train`` and ``val`` with class subfolders, or of the
            annotation files' images; None when nothing is labelled.
        train: data_prefix of the training images, or an annotation file.
        val: the same for validation.
        num_classes: classes.
        lists: annotation file that is ours to write -> its text; see ``write_lists``.
    """

    pretrain_root: Path
    num_images: int
    class_root: Path | None = None
    train: str = ""
    val: str = ""
    num_classes: int = 0
    lists: Mapping[Path, str] = field(default_factory=dict)

    def write_lists(self) -> None:
        """Write the lists of a split that was made here."""
        for path, text in self.lists.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def options(self, loader: str, split: str) -> dict[str, Any]:
        """Config options that point a classification loader here.

        Args:
            loader: dotted name of the dataloader.
            split: 'train' or 'val'.
        """
        where = self.train if split == "train" else self.val
        prefix, annotations = ("", where) if self.lists else (where, "")
        return {
            f"{loader}.dataset.data_root": str(self.class_root),
            f"{loader}.dataset.data_prefix": prefix,
            f"{loader}.dataset.ann_file": annotations,
        }


def describe_images(folder: str | Path, scratch: str | Path) -> ImageData:
    """Look at a folder: DIR/{train,val}/CLASS/*, DIR/CLASS/*, or images in any order.

    Args:
        folder: the user's images.
        scratch: will take the lists of a split made here; nothing is written yet.

    Raises:
        MaskSSLError: no such folder, no images, or classes of train and val that differ.
    """
    folder = Path(folder).resolve()
    if not folder.is_dir():
        raise MaskSSLError(f"--images {folder}: there is no such folder")
    train = folder / "train"
    root = train if train.is_dir() else folder
    count = sum(1 for _ in image_files(root))
    if not count:
        raise MaskSSLError(
            f"--images {folder}: no image below {root} (looked for {', '.join(ENDINGS)}); give a "
            "folder of images, DIR/CLASS/* or DIR/train/CLASS/* and DIR/val/CLASS/*"
        )
    classes = _classes(root)
    if len(classes) < 2:
        return ImageData(root, count)
    if root == train:
        val_classes = _classes(folder / "val") if (folder / "val").is_dir() else []
        if val_classes != classes:
            raise MaskSSLError(
                f"--images {folder}: train/ has {len(classes)} classes and val/ "
                f"{len(val_classes)}, or others ({sorted(set(classes) ^ set(val_classes))[:5]}); "
                "both need the same class folders"
            )
        return ImageData(root, count, folder, "train", "val", len(classes))
    lists = _split(folder, classes, Path(scratch).resolve())
    train_list, val_list = map(str, lists)
    return ImageData(root, count, folder, train_list, val_list, len(classes), lists)


def _classes(folder: Path) -> list[str]:
    return sorted(sub.name for sub in folder.iterdir() if sub.is_dir() and holds_images(sub))


def _split(folder: Path, classes: list[str], scratch: Path) -> dict[Path, str]:
    """The lists of a training and a validation part: file -> lines of path and label."""
    parts: dict[str, list[str]] = {"train": [], "val": []}
    for label, name in enumerate(classes):
        for index, path in enumerate(image_files(folder / name)):
            part = "val" if index % VAL_EVERY == VAL_EVERY - 1 else "train"
            parts[part].append(f"{path.relative_to(folder).as_posix()} {label}\n")
    for part, lines in parts.items():
        if not lines:
            raise MaskSSLError(
                f"--images {folder}: too few images for a {part} part; each class needs at least "
                f"{VAL_EVERY}"
            )
    return {scratch / f"{part}.txt": "".join(lines) for part, lines in parts.items()}
