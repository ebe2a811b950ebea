"""Segmentation maps beside their images: pairs, sizes, channels, values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .errors import DataError
from .label_codes import LabelCodes
from .pictures import QUICK, Look, Picture, check_raster, look_at, sample

_LOSSY = ("JPEG", "MPO")  # formats of pictures
# commands that make a run of labelled folders have no such option, and meet the same masks
_MAPPING = "maskssl train, test and check-data map values to labels by --map-masks"


@dataclass(frozen=True)
class MaskCode:
    """How values of a mask become labels, in the order of loading.

    Attributes:
        num_labels: labels are 0 to num_labels - 1.
        ignore_index: the label that counts for nothing.
        reduce_zero_label: 0 is ignored and the others count from 0.
        label_map: old label -> new one, of a data set of which some classes are used.
        codes: of MapLabels in the pipeline.
    """

    num_labels: int
    ignore_index: int = 255
    reduce_zero_label: bool = False
    label_map: Mapping[int, int] = field(default_factory=dict)
    codes: LabelCodes | None = None

    def labels(self, values: NDArray[np.integer], path: str) -> NDArray[np.integer]:
        """What the loss will see."""
        if self.codes:
            return self.codes.labels(values, path)
        labels = values.astype(np.int64)
        if self.reduce_zero_label:
            labels = np.where((labels == 0) | (labels == 255), 255, labels - 1)
        mapped = labels.copy()
        for old, new in self.label_map.items():
            mapped[labels == old] = new
        return mapped


@dataclass(frozen=True)
class MaskFacts:
    """What was seen in masks.

    Attributes:
        pictures: the images of the masks.
        pixels: of each label, in the masks that were looked at.
    """

    pictures: list[Picture]
    pixels: list[int]


def check_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """Refuse images without a mask.

    Raises:
        DataError: names the first, and how many there are.
    """
    missing = [pair for pair in pairs if not Path(pair[1]).is_file()]
    if missing:
        image, mask = missing[0]
        raise DataError(
            f"{len(missing)} of {len(pairs)} images have no mask, e.g. {image}, for which there is "
            f"no {mask}; add the masks, remove the images, or set seg_map_suffix to how masks end"
        )


def check_masks(
    pairs: Sequence[tuple[str, str]],
    code: MaskCode,
    applies_orientation: bool,
    limit: int | None = QUICK,
    look: Look = look_at,
) -> MaskFacts:
    """Open masks and their images, and refuse what training would take for something else.

    Args:
        pairs: image and mask.
        code: what values mean.
        applies_orientation: whether loading turns pictures upright by EXIF.
        limit: most pairs to open; None opens all.
        look: opens an image.

    Raises:
        DataError: names the file, what is wrong, and the remedy.
    """
    pixels = np.zeros(256, np.int64)
    pictures, seen = [], set[int]()
    for number in sample(len(pairs), limit):
        image_path, mask_path = pairs[number]
        picture = look(image_path)
        pictures.append(picture)
        values = mask_values(mask_path, coloured=bool(code.codes and code.codes.coloured))
        check_raster(picture, values.shape[1::-1], mask_path, applies_orientation)
        labels = code.labels(values, mask_path)
        _check_labels(labels, values, code, mask_path)
        seen.update(np.unique(values).tolist() if values.ndim == 2 else ())
        pixels += np.bincount(labels.ravel(), minlength=256)
    if seen == {0, 255} and code.ignore_index == 255 and not code.codes:
        raise DataError(
            f"all {len(pictures)} masks looked at, {pairs[0][1]} first, hold 0 and 255 alone, and "
            "255 is ignored, so that only the background would be learnt; if 255 is an object, "
            f"write its label, such as 1, in the masks; {_MAPPING} 0=0 255=1"
        )
    if pairs and not pixels[: code.num_labels].any():
        raise DataError(
            f"every pixel of the masks looked at, {pairs[0][1]} first, is ignored; "
            "see reduce_zero_label and ignore_index of the data set"
        )
    return MaskFacts(pictures, pixels[: code.num_labels].tolist())


def labels_of(path: str, code: MaskCode) -> NDArray[np.integer]:
    """Labels of a mask (H, W).

    Raises:
        DataError: it cannot be read, or holds values that are no labels.
    """
    values = mask_values(path, coloured=bool(code.codes and code.codes.coloured))
    labels = code.labels(values, path)
    _check_labels(labels, values, code, path)
    return labels


def mask_values(path: str, coloured: bool = False) -> NDArray[np.integer]:
    """Values of a mask as they are stored, (H, W), or (H, W, 3 or 4) of a coloured one.

    Raises:
        DataError: it cannot be read, is a JPEG, or has channels and should not.
    """
    picture = look_at(path)
    with Image.open(path) as image:
        if image.format in _LOSSY:
            raise DataError(
                f"the mask {path} is a {image.format}, whose compression blurs labels into others "
                "at every border; write masks as PNG, from what they were made of"
            )
        values = np.array(image)
    if values.ndim != 2 and not (coloured and values.shape[2] >= 3):
        raise DataError(
            f"the mask {path} has {values.shape[2]} channels ({picture.mode}), and should have one "
            "that holds labels; if its colours stand for classes, write the masks anew, with the "
            f"label of each pixel; {_MAPPING} '#000000=0' '#ff0000=1'"
        )
    return values.astype(np.int64)


def _check_labels(
    labels: NDArray[np.integer], values: NDArray[np.integer], code: MaskCode, path: str
) -> None:
    wrong = ((labels >= code.num_labels) | (labels < 0)) & (labels != code.ignore_index)
    if not wrong.any():
        return
    kind, first = ("label", labels) if values.ndim == 3 else ("value", values)
    zero = ", of which 0 is ignored" if code.reduce_zero_label else ""
    highest = code.num_labels - 1 + code.reduce_zero_label
    raise DataError(
        f"the mask {path} holds the {kind} {first[wrong].flat[0]} ({wrong.mean():.1%} of it), and "
        f"with {code.num_labels} classes values go from 0 to {highest}{zero}, or are "
        f"{code.ignore_index}, ignored; name all classes (in metainfo, or in the layout's "
        f"classes.txt), or write labels in the masks; {_MAPPING} VALUE=LABEL ..."
    )
