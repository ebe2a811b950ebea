"""Images with label maps: a training set and a test set."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from numpy.typing import NDArray

from ..cli.data_check.dense import labelled_pairs, segmentation_classes
from ..cli.data_check.nodes import Node, nodes_of
from ..cli.data_layouts import CITYSCAPES_CODES, layout_of
from ..datasets.checks.masks import MaskCode, check_masks, check_pairs, labels_of
from ..errors import MaskSSLError
from .image_set import ImageSet

SCOPE, OPTION = "mmseg", "--masks"


@dataclass(frozen=True)
class MapSet(ImageSet):
    """Images with a map of labels each; ``labels`` are zeros.

    Attributes:
        masks: relative to the root, of each image.
        code: what their values mean.
        dataset: settings of mmseg's data set of the same images.
    """

    masks: tuple[str, ...]
    code: MaskCode
    dataset: Mapping[str, Any]

    @property
    def whole(self) -> bool:
        """Every pixel counts, so that nothing is cropped away."""
        return True

    @property
    def read(self) -> tuple[str, ...]:
        """Masks too."""
        return (*self.files, *self.masks)

    def label_map(self, index: int) -> NDArray[np.int64]:
        """Labels (H, W) of an image, 0 to K - 1; what is ignored is K.

        Raises:
            DataError: the mask cannot be read, or holds other values.
        """
        labels = labels_of(str(self.root / self.masks[index]), self.code)
        return np.where(labels == self.code.ignore_index, len(self.classes), labels)


def map_sets(option: str) -> tuple[MapSet, MapSet]:
    """Training and test images of ``[LAYOUT:]DIR``, as ``maskssl train --data`` reads them.

    Classes are counted in the training masks, where the layout does not name them. The test's
    masks are looked for, and none is opened.

    Raises:
        MaskSSLError: files that are missing or of another kind.
    """
    root = Path(option.partition(":")[2] or option)
    nodes = {split: _node(option, split) for split in ("train", "val")}
    classes = segmentation_classes(nodes["train"])
    if len(classes) < 2:
        raise MaskSSLError(
            f"--masks {option}: the training masks hold one label, so there is nothing to tell"
        )
    train, test = (_map_set(node, root.expanduser(), classes) for node in nodes.values())
    named = zip(train.files, train.masks, strict=True)
    pairs = [(str(train.root / image), str(train.root / mask)) for image, mask in named]
    check_masks(pairs, train.code, applies_orientation=False)
    return train, test


def _node(option: str, split: str) -> Node:
    option = option if ":" in option else f"masks:{option}"
    settings = dict(layout_of(SCOPE, option, split))
    if option.startswith("cityscapes:"):
        settings["pipeline"] = [dict(type="MapLabels", codes=CITYSCAPES_CODES)]
    (node,) = nodes_of(Config({"default_scope": SCOPE, OPTION: dict(dataset=settings)}), OPTION)
    return node


def _map_set(node: Node, root: Path, classes: tuple[str, ...]) -> MapSet:
    pairs, code = labelled_pairs(node, classes)
    check_pairs(pairs)
    if len(pairs) < 2:
        raise MaskSSLError(
            f"{node.loader} {root}: {len(pairs)} images with masks in "
            f"{node.ann_file or 'a split'}; "
            "bring 2 or more"
        )
    images, masks = zip(*pairs, strict=True)
    return MapSet(
        root,
        tuple(Path(path).relative_to(root).as_posix() for path in images),
        torch.zeros(len(images), dtype=torch.int64),
        classes,
        tuple(Path(path).relative_to(root).as_posix() for path in masks),
        code,
        node.config,
    )


def patch_shares(
    labels: NDArray[np.integer], grid: tuple[int, int], num_classes: int
) -> NDArray[np.float32]:
    """Share of each class among the pixels of each patch; ignored pixels are in none.

    Args:
        labels: (H, W), K where ignored.
        grid: rows and columns of patches that the whole picture is cut into.
        num_classes: K.

    Returns:
        (P, K), row by row of the grid.
    """
    (height, width), (rows, columns) = labels.shape, grid
    row = np.arange(height) * rows // height
    column = np.arange(width) * columns // width
    patch = row[:, None] * columns + column  # (H, W)
    places = patch * (num_classes + 1) + labels
    size = rows * columns * (num_classes + 1)
    counts = np.bincount(places.ravel(), minlength=size).reshape(-1, num_classes + 1)
    return (counts[:, :-1] / counts.sum(axis=1, keepdims=True).clip(min=1)).astype(np.float32)
