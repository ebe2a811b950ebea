"""What a folder of the user's own images offers: labels of classes, masks, boxes, or none."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from ..datasets.folders import ENDINGS, image_files, innermost, split_folders, subfolders
from ..errors import MaskSSLError
from .dense_images import VAL_EVERY, DenseData, find_boxes, find_maps


@dataclass(frozen=True)
class ImageData:
    """Where to pretrain, to classify, to segment and to detect.

    Attributes:
        pretrain_root: folder searched for images at any depth.
        num_images: images there.
        class_root: folder of the splits, or of the annotation files' images; None when nothing
            is labelled.
        train: data_prefix of the training images, or an annotation file; absolute.
        val: the same for validation.
        num_classes: classes.
        lists: annotation file that is ours to write -> its text; see ``write_lists``.
        maps: what is segmented; None for the scenes.
        boxes: what is detected; None for the scenes.
    """

    pretrain_root: Path
    num_images: int
    class_root: Path | None = None
    train: str = ""
    val: str = ""
    num_classes: int = 0
    lists: Mapping[Path, str] = field(default_factory=dict)
    maps: DenseData | None = None
    boxes: DenseData | None = None

    def write_lists(self) -> None:
        """Write the lists of splits that were made here."""
        dense = [data.lists for data in (self.maps, self.boxes) if data]
        for path, text in chain.from_iterable(lists.items() for lists in (self.lists, *dense)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8", "surrogateescape")

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

    DIR/images with DIR/masks is segmented, pictures with a COCO file are detected. Splits may
    have any usual name (Training, Testing, seg_train), and folders that hold one folder alone
    are passed through. A test split validates where there is no val split.

    Args:
        folder: the user's images.
        scratch: will take the lists of a split made here; nothing is written yet.

    Raises:
        MaskSSLError: no such folder, no images, or classes of train and val that differ.
    """
    folder = Path(folder).resolve()
    if not folder.is_dir():
        raise MaskSSLError(f"--images {folder}: there is no such folder")
    lists_folder = Path(scratch).resolve()
    maps, boxes = find_maps(folder, lists_folder), find_boxes(folder, lists_folder)
    if dense := maps or boxes:
        root = dense.pictures
        return ImageData(root, sum(1 for _ in image_files(root)), maps=maps, boxes=boxes)
    splits = split_folders(folder)
    root = splits.get("train", innermost(folder))
    count = sum(1 for _ in image_files(root))
    if not count:
        raise MaskSSLError(
            f"--images {folder}: no image below {root} (looked for {', '.join(ENDINGS)}); give a "
            "folder of images, DIR/CLASS/* or DIR/train/CLASS/* and DIR/val/CLASS/*"
        )
    classes = subfolders(root)
    if len(classes) < 2:
        return ImageData(root, count)
    if val := splits.get("val", splits.get("test")):
        _check_same_classes(root, val)
        return ImageData(root, count, folder, str(root), str(val), len(classes))
    lists = _split(root, classes, lists_folder)
    train_list, val_list = map(str, lists)
    return ImageData(root, count, root, train_list, val_list, len(classes), lists)


def _check_same_classes(train: Path, val: Path) -> None:
    classes, val_classes = subfolders(train), subfolders(val)
    if val_classes == classes:
        return
    if not val_classes:
        raise MaskSSLError(
            f"--images: {val} has no class folders, and {train} has {len(classes)}; sort its "
            "images into folders of the same names, or remove it, and a part of train validates"
        )
    raise MaskSSLError(
        f"--images: {train} has {len(classes)} classes and {val} has {len(val_classes)}, or "
        f"others ({', '.join(sorted(set(classes) ^ set(val_classes))[:5])}); both need the same "
        "class folders"
    )


def _split(folder: Path, classes: list[str], scratch: Path) -> dict[Path, str]:
    """The lists of a training and a validation part: file -> lines of path and label."""
    parts: dict[str, list[str]] = {"train": [], "val": []}
    for label, name in enumerate(classes):
        paths = [path.relative_to(folder).as_posix() for path in image_files(folder / name)]
        if len(paths) < 2:
            raise MaskSSLError(
                f"--images {folder}: the class {name!r} has {len(paths)} images; it needs 2 at "
                "least, one to train on and one to validate, or remove its folder"
            )
        if broken := [path for path in paths if "\n" in path]:
            raise MaskSSLError(f"--images {folder}: {broken[0]!r} has a line break; rename it")
        for index, path in enumerate(paths):
            last_of_few = len(paths) < VAL_EVERY and index == len(paths) - 1
            part = "val" if index % VAL_EVERY == VAL_EVERY - 1 or last_of_few else "train"
            parts[part].append(f"./{path} {label}\n")  # ./ as spaces may lead a name
    return {scratch / f"{part}.txt": "".join(lines) for part, lines in parts.items()}
