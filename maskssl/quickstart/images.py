"""What a folder of the user's own images offers: labels of classes, masks, boxes, or none."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..datasets.folders import ENDINGS, image_files, innermost, split_folders, subfolders
from ..errors import MaskSSLError
from .arrangement import Arrangement
from .dense_images import VAL_EVERY, find_boxes, find_maps


@dataclass(frozen=True)
class OwnImages:
    """Where to pretrain, and what is labelled.

    Attributes:
        pretrain_root: folder searched for images at any depth.
        num_images: images there.
        labelled: 'classes', 'maps' or 'boxes' -> its data set, with a part to train on and one to
            test on; what is not there is taken from the scenes.
    """

    pretrain_root: Path
    num_images: int
    labelled: Mapping[str, Arrangement] = field(default_factory=dict)


def describe_images(folder: str | Path) -> OwnImages:
    """Look at a folder: DIR/{train,val}/CLASS/*, DIR/CLASS/*, or images in any order.

    DIR/images with DIR/masks is segmented, pictures with a COCO file are detected. Splits may
    have any usual name (Training, Testing, seg_train), and folders that hold one folder alone
    are passed through. A test split is scored where there is no val split.

    Args:
        folder: the user's images.

    Raises:
        MaskSSLError: no such folder, no images, or classes of train and val that differ.
    """
    folder = Path(folder).resolve()
    if not folder.is_dir():
        raise MaskSSLError(f"--images {folder}: there is no such folder")
    dense = {"maps": find_maps(folder), "boxes": find_boxes(folder)}
    if found := {kind: data for kind, data in dense.items() if data}:
        root = next(iter(found.values())).pictures
        count = sum(1 for _ in image_files(root))
        return OwnImages(root, count, {kind: data.arranged for kind, data in found.items()})
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
        return OwnImages(root, count)
    if val := splits.get("val", splits.get("test")):
        _check_same_classes(root, val)
        return OwnImages(root, count, {"classes": Arrangement({"train": root, "val": val})})
    return OwnImages(root, count, {"classes": _split(root, classes)})


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


def _split(folder: Path, classes: list[str]) -> Arrangement:
    """A training part, and each fifth image of a class to test on."""
    links = {}
    for name in classes:
        paths = list(image_files(folder / name))
        if len(paths) < 2:
            raise MaskSSLError(
                f"--images {folder}: the class {name!r} has {len(paths)} images; it needs 2 at "
                "least, one to train on and one to test on, or remove its folder"
            )
        for index, path in enumerate(paths):
            last_of_few = len(paths) < VAL_EVERY and index == len(paths) - 1
            part = "val" if index % VAL_EVERY == VAL_EVERY - 1 or last_of_few else "train"
            links[f"{part}/{path.relative_to(folder).as_posix()}"] = path
    return Arrangement(links)
