"""Pictures with objects in COCO files: a training set and a test set."""

from dataclasses import dataclass
from pathlib import Path

import torch

from ..cli.data_layouts import layout_of
from ..datasets.checks.coco import check_boxes, read_coco
from ..datasets.folders import image_files
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

    The training pictures are those of the COCO file. Of the test's nothing is opened: its pictures
    are those in its folder.

    Raises:
        MaskSSLError: files that are missing or of another kind.
    """
    root = Path(folder).expanduser()
    settings = {split: layout_of(SCOPE, f"coco:{folder}", split) for split in ("train", "val")}
    content = read_coco(str(root / settings["train"]["ann_file"]), with_masks=True)
    check_boxes(content)
    classes = tuple(content.categories.values())
    inside = {split: root / one["data_prefix"]["img"] for split, one in settings.items()}
    listed = sorted(inside["train"] / str(one["file_name"]) for one in content.images.values())
    if lost := [path for path in listed if not path.is_file()]:
        raise MaskSSLError(
            f"--coco {root}: {len(lost)} pictures of {settings['train']['ann_file']} are not "
            f"there, {lost[0]} first; bring them, or remove them from the file"
        )
    found = {"train": listed, "val": list(image_files(inside["val"]))}
    for split, files in found.items():
        if not files:
            raise MaskSSLError(f"--coco {root}: there are no pictures in {inside[split]}")
    train, test = (
        _box_set(root, found[split], one["ann_file"], classes) for split, one in settings.items()
    )
    return train, test


def _box_set(root: Path, paths: list[Path], annotations: str, classes: tuple[str, ...]) -> BoxSet:
    files = tuple(path.relative_to(root).as_posix() for path in paths)
    labels = torch.zeros(len(files), dtype=torch.int64)
    return BoxSet(root, files, labels, classes, annotations)
