"""What a folder of the user's own images offers: labels, a validation split, or neither."""

from dataclasses import dataclass
from pathlib import Path

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
    """

    pretrain_root: Path
    num_images: int
    class_root: Path | None = None
    train: str = ""
    val: str = ""
    num_classes: int = 0
    annotated: bool = False

    def options(self, loader: str, split: str) -> list[str]:
        """``--cfg-options`` that point a classification loader here.

        Args:
            loader: dotted name of the dataloader.
            split: 'train' or 'val'.
        """
        where = self.train if split == "train" else self.val
        prefix, annotations = ("", where) if self.annotated else (where, "")
        return [
            f"{loader}.dataset.data_root={self.class_root}",
            f"{loader}.dataset.data_prefix={prefix}",
            f"{loader}.dataset.ann_file={annotations}",
        ]


def describe_images(folder: str | Path, scratch: str | Path) -> ImageData:
    """Look at a folder: DIR/{train,val}/CLASS/*, DIR/CLASS/*, or images in any order.

    Args:
        folder: the user's images.
        scratch: takes the lists of a split made here.

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
    lists = _write_split(folder, classes, Path(scratch).resolve())
    return ImageData(root, count, folder, *lists, len(classes), annotated=True)


def _classes(folder: Path) -> list[str]:
    return sorted(sub.name for sub in folder.iterdir() if sub.is_dir() and holds_images(sub))


def _write_split(folder: Path, classes: list[str], scratch: Path) -> tuple[str, str]:
    scratch.mkdir(parents=True, exist_ok=True)
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
        (scratch / f"{part}.txt").write_text("".join(lines))
    return str(scratch / "train.txt"), str(scratch / "val.txt")
