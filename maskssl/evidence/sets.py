"""The real images: which sets there are, what is measured on each, and how they get there."""

import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..datasets.folders import image_files
from ..errors import MaskSSLError
from ..quickstart.arrangement import Arrangement

FROZEN, TRAINED, STUDY, YARDSTICK = "frozen", "trained", "study", "yardstick"
LENGTH = "length"  # frozen features, too
SMALL = "vit-small"  # frozen features of pretrainings for a GPU
_CLASSIFIED = ("knn", "linear", "attentive", "logistic")

Options = Mapping[str, Any]


_CROP = (128, 128)  # dense rows learn on crops of this size, and are tested on whole pictures
_TRAINED_ON = "train_dataloader.dataset.pipeline"


def _segmented(width: int, height: int) -> dict[str, Any]:
    """UperNet's recipe on pictures of this size in place of 64 x 64."""
    resize = dict(type="Resize", scale=(width, height), keep_ratio=False)
    return {
        "model.data_preprocessor.size": _CROP,
        "model.backbone.img_size": _CROP[0],
        _TRAINED_ON: [
            dict(type="LoadImage"),
            dict(type="LoadMask"),
            resize,
            dict(type="RandomCrop", crop_size=_CROP),
            dict(type="RandomFlip", prob=0.5),
            dict(type="PackSegInputs"),
        ],
        "test_dataloader.dataset.pipeline.1.scale": (width, height),
    }


_SHORT_SIDE = (1024, 256)  # longest and shortest side in pixels, the ratio is kept
# Mask R-CNN's recipe on nuclei: nine in ten are 6 to 41 pixels wide here, up to 375 in a picture
_DETECTED = {
    "model.backbone.img_size": _CROP[0],
    _TRAINED_ON: [
        dict(type="LoadImage"),
        dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
        dict(type="Resize", scale=_SHORT_SIDE, keep_ratio=True),
        dict(type="RandomCrop", crop_size=_CROP, crop_type="absolute"),
        dict(type="RandomFlip", prob=0.5),
        dict(type="PackDetInputs"),
    ],
    "test_dataloader.dataset.pipeline.1.scale": _SHORT_SIDE,
    "model.rpn_head.anchor_generator.scales": [2, 2.8],
    "model.test_cfg.rpn.nms_pre": 300,
    "model.test_cfg.rpn.max_per_img": 200,
    "model.test_cfg.rcnn.max_per_img": 100,
    # The recipe's length is for 20 pictures; of 120 passes the rule would make 24 of 507.
    "train_cfg.max_epochs": 15,
}


@dataclass(frozen=True)
class RealSet:
    """A set of labelled pictures.

    Attributes:
        name: on the command line.
        title: in tables.
        stages: part -> stages of ``maskssl transfer``.
        pictures: its training pictures, below the folder.
        archive: name of its folder and its archive; None for its own name.
        held_out: training pictures of a class that are tested on in place of the test pictures; as
            many again and half as many train.
        dense: labelled by maps, or maps and boxes.
        img_size: at which frozen features are read, in pixels; None for the pretraining's.
        options: trained stage -> options over its recipe.
    """

    name: str
    title: str
    stages: Mapping[str, tuple[str, ...]]
    pictures: str
    archive: str | None = None
    held_out: int = 0
    dense: bool = False
    img_size: int | None = None
    options: Mapping[str, Options] = field(default_factory=dict)

    def stages_of(self, part: str) -> tuple[str, ...]:
        """What a part measures here."""
        return self.stages.get(FROZEN if part == SMALL else part, ())

    @property
    def folder(self) -> str:
        """Below the root of all sets."""
        return self.archive or self.name


SETS: dict[str, RealSet] = {
    one.name: one
    for one in (
        RealSet(
            "tiny_imagenet",
            "Tiny-ImageNet",
            {FROZEN: _CLASSIFIED, LENGTH: _CLASSIFIED},
            "train",
        ),
        RealSet(
            "tiny_imagenet_held_out",
            "Tiny-ImageNet's training pictures",
            {STUDY: ("knn", "linear")},
            "train",
            archive="tiny_imagenet",
            held_out=50,
        ),
        RealSet(
            "clothing",
            "clothing",
            {FROZEN: _CLASSIFIED, TRAINED: ("finetune",)},
            "train",
            # By the rule 15 passes of 3,068; after the recipe's 5, MAE's weights were below what
            # a linear probe reads from them.
            options={"finetune": {"train_cfg.max_epochs": 90}},
        ),
        RealSet("cifar10", "CIFAR-10", {FROZEN: _CLASSIFIED}, "train"),
        RealSet(
            "camvid",
            "CamVid",
            {FROZEN: ("patch-linear",), TRAINED: ("segmentation",)},
            "images/training",
            dense=True,
            img_size=192,
            options={"segmentation": _segmented(256, 192)},
        ),
        RealSet(
            "nuclei",
            "nuclei",
            {FROZEN: ("patch-linear",), TRAINED: ("segmentation",)},
            "images/training",
            dense=True,
            img_size=192,
            # half of the recipe's length, for the time that there is
            options={"segmentation": _segmented(256, 256) | {"train_cfg.max_iters": 200}},
        ),
        RealSet(
            "nuclei-objects",
            "nuclei, one by one",
            {TRAINED: ("detection",)},
            "images/training",
            archive="nuclei",
            dense=True,
            options={"detection": _DETECTED},
        ),
    )
}
DENSE = tuple(name for name, one in SETS.items() if one.dense and not one.archive)


def sets_of(part: str) -> tuple[str, ...]:
    """Names of the sets that a part measures on."""
    return tuple(name for name, one in SETS.items() if one.stages_of(part))


def hold_out(source: Path, count: int, folder: Path) -> Path:
    """A set of training pictures alone, as links: ``count`` of each class are its test pictures.

    Args:
        source: holds CLASS/PICTURE; the first half more than ``count`` of each class train, and
            the last ``count`` are tested on.
        count: see above.
        folder: written anew if it is not there, or links into another source.

    Returns:
        ``folder``, with train/CLASS and val/CLASS.

    Raises:
        MaskSSLError: a class has too few pictures.
    """
    if folder.is_dir():
        link = next((path for path in image_files(folder) if path.is_symlink()), None)
        if link and link.readlink().is_relative_to(source):
            return folder
        shutil.rmtree(folder)  # links alone
    links: dict[str, Path] = {}
    for one in sorted(path for path in source.iterdir() if path.is_dir()):
        pictures = sorted(image_files(one))
        trained, tested = pictures[: count + count // 2], pictures[-count:]
        if len(pictures) < len(trained) + len(tested):
            raise MaskSSLError(
                f"{one} has {len(pictures)} pictures, {len(trained) + len(tested)} are needed"
            )
        for kind, kept in (("train", trained), ("val", tested)):
            links |= {f"{kind}/{one.name}/{path.name}": path for path in kept}
    partial = folder.with_suffix(".partial")
    Arrangement(links).write(partial)
    partial.replace(folder)
    return folder


def bring(name: str, root: Path, archives: Path | None) -> Path:
    """Folder of a set; one that is not there is unpacked from its archive, once.

    Args:
        name: of the set.
        root: holds the sets' folders.
        archives: holds NAME.tar.gz; None: what is not there is refused.

    Raises:
        MaskSSLError: neither folder nor archive.
    """
    name = SETS[name].folder
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
