"""Pictures with objects in COCO files: a training set and a test set."""

from dataclasses import dataclass
from pathlib import Path

import torch

from ..cli.data_layouts import layout_of
from ..datasets.checks.coco import CocoFile, check_boxes, read_coco
from ..errors import MaskSSLError
from .image_set import ImageSet

SCOPE = "mmdet"


@dataclass(frozen=True)
class BoxSet(ImageSet):
    """Pictures of a COCO file; ``labels`` are zeros.

    Attributes:
        annotations: the file, relative to the root.
    """

    annotations: str

    @property
    def read(self) -> tuple[str, ...]:
        """The COCO file too."""
        return (*self.files, self.annotations)


def box_sets(folder: str) -> tuple[BoxSet, BoxSet]:
    """Training and test pictures of a folder, as ``maskssl train --data coco:DIR`` reads them.

    The pictures are those of the COCO files, which may share one folder; none is opened.

    Raises:
        MaskSSLError: files that are missing or of another kind, or whose categories are not the
            same in the same order, by which labels go.
    """
    root = Path(folder).expanduser()
    settings = {split: layout_of(SCOPE, f"coco:{folder}", split) for split in ("train", "val")}
    contents = {
        split: read_coco(root / one["ann_file"], with_masks=True) for split, one in settings.items()
    }
    check_boxes(contents["train"])
    classes, tested = (tuple(one.categories.values()) for one in contents.values())
    if classes != tested:
        raise MaskSSLError(
            f"--coco {root}: {settings['train']['ann_file']} has the categories "
            f"{', '.join(classes)}, and {settings['val']['ann_file']} has {', '.join(tested)}; "
            "labels follow their order, so write the same ones in the same order in both"
        )
    train, test = (
        _box_set(root, contents[split], one["ann_file"], one["data_prefix"]["img"], classes)
        for split, one in settings.items()
    )
    return train, test


def _box_set(
    root: Path, content: CocoFile, annotations: str, prefix: str, classes: tuple[str, ...]
) -> BoxSet:
    listed = sorted(root / prefix / str(one["file_name"]) for one in content.images.values())
    if lost := [path for path in listed if not path.is_file()]:
        raise MaskSSLError(
            f"--coco {root}: {len(lost)} pictures of {annotations} are not there, {lost[0]} first; "
            "bring them, or remove them from the file"
        )
    files = tuple(path.relative_to(root).as_posix() for path in listed)
    labels = torch.zeros(len(files), dtype=torch.int64)
    return BoxSet(root, files, labels, classes, annotations)
