"""The real images: which sets there are, what is measured on each, and how they get there."""

import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import MaskSSLError

FROZEN, TRAINED = "frozen", "trained"
PARTS = (FROZEN, TRAINED)
_CLASSIFIED = ("knn", "linear", "attentive", "logistic")

Options = Mapping[str, Any]


def _whole(side: int) -> dict[str, Any]:
    """UperNet's recipe on whole pictures of this side in place of 64."""
    scale = (side, side)
    return {
        "model.data_preprocessor.size": scale,
        "model.backbone.img_size": side,
        "train_dataloader.dataset.pipeline.2.scale": scale,
        "test_dataloader.dataset.pipeline.1.scale": scale,
    }


# Nuclei are 5 to 60 pixels wide at a side of 256, and up to 375 in a picture.
_CROWDED = {
    "model.backbone.img_size": 256,
    "train_dataloader.dataset.pipeline.2.scale": (256, 256),
    "test_dataloader.dataset.pipeline.1.scale": (256, 256),
    "model.rpn_head.anchor_generator.scales": [2, 2.8],
    "model.train_cfg.rpn_proposal.nms_pre": 500,
    "model.train_cfg.rpn_proposal.max_per_img": 300,
    "model.test_cfg.rpn.nms_pre": 1000,
    "model.test_cfg.rpn.max_per_img": 500,
    "model.test_cfg.rcnn.max_per_img": 400,
}


@dataclass(frozen=True)
class RealSet:
    """A set of labelled pictures.

    Attributes:
        name: of its folder and its archive, and on the command line.
        title: in tables.
        stages: 'frozen' and 'trained' -> stages of ``maskssl transfer``.
        pictures: its training pictures, below the folder.
        dense: labelled by maps, or maps and boxes.
        img_size: at which frozen features are read, in pixels; None for the pretraining's.
        options: trained stage -> options over its recipe.
    """

    name: str
    title: str
    stages: Mapping[str, tuple[str, ...]]
    pictures: str
    dense: bool = False
    img_size: int | None = None
    options: Mapping[str, Options] = field(default_factory=dict)


SETS: dict[str, RealSet] = {
    one.name: one
    for one in (
        RealSet("tiny_imagenet", "Tiny-ImageNet", {FROZEN: _CLASSIFIED}, "train"),
        RealSet("clothing", "clothing", {FROZEN: _CLASSIFIED, TRAINED: ("finetune",)}, "train"),
        RealSet("cifar10", "CIFAR-10", {FROZEN: _CLASSIFIED}, "train"),
        RealSet(
            "camvid",
            "CamVid",
            {FROZEN: ("patch-linear",), TRAINED: ("segmentation",)},
            "images/training",
            dense=True,
            img_size=256,
            options={"segmentation": _whole(192)},
        ),
        RealSet(
            "nuclei",
            "nuclei",
            {FROZEN: ("patch-linear",), TRAINED: ("segmentation", "detection")},
            "images/training",
            dense=True,
            img_size=256,
            options={"segmentation": _whole(192), "detection": _CROWDED},
        ),
    )
}
DENSE = tuple(name for name, one in SETS.items() if one.dense)


def sets_of(part: str) -> tuple[str, ...]:
    """Names of the sets that a part measures on."""
    return tuple(name for name, one in SETS.items() if part in one.stages)


def bring(name: str, root: Path, archives: Path | None) -> Path:
    """Folder of a set; one that is not there is unpacked from its archive, once.

    Args:
        name: of the set.
        root: holds the sets' folders.
        archives: holds NAME.tar.gz; None: what is not there is refused.

    Raises:
        MaskSSLError: neither folder nor archive.
    """
    folder = root / name
    if folder.is_dir():
        return folder
    archive = archives / f"{name}.tar.gz" if archives else None
    if archive is None or not archive.is_file():
        raise MaskSSLError(
            f"there is no folder {folder}{f' and no {archive}' if archive else ''}; bring the set "
            "(docs/evidence.md says how it lies), or give --archives DIR of NAME.tar.gz"
        )
    partial = root / f".{name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    with tarfile.open(archive) as content:
        content.extractall(partial, filter="data")
    (partial / name).replace(folder)
    shutil.rmtree(partial)
    return folder
