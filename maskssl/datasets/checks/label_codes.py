"""Values or colours of a segmentation map, and the labels that they stand for."""

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .errors import DataError

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


class LabelCodes:
    """A code of labels: values of one channel, or colours.

    Args:
        codes: integer or '#rrggbb' -> label, 0 to 255; all of one kind.

    Raises:
        DataError: mixed, or none that is known.
    """

    def __init__(self, codes: Mapping[str | int, int]) -> None:
        keys = [str(key) for key in codes]
        self.coloured = bool(keys) and all(_COLOUR.fullmatch(key) for key in keys)
        if not keys or not (self.coloured or all(key.isdigit() for key in keys)):
            raise DataError(
                f"the codes of masks {', '.join(keys) or '(none)'} are neither all integers nor "
                "all colours like #ff0000; give VALUE=LABEL for every value"
            )
        numbers = [int(key.lstrip("#"), 16 if self.coloured else 10) for key in keys]
        order = np.argsort(numbers)
        self._numbers = np.asarray(numbers, np.int64)[order]
        self._labels = np.asarray([int(label) for label in codes.values()], np.uint8)[order]

    def __repr__(self) -> str:
        pairs = dict(zip(self._numbers.tolist(), self._labels.tolist(), strict=True))
        return f"LabelCodes({pairs}, coloured={self.coloured})"

    def labels(self, coded: NDArray[np.integer], where: str) -> NDArray[np.uint8]:
        """Labels of a map.

        Args:
            coded: (H, W) values, or (H, W, 3 or 4) RGB.
            where: its file, in messages.

        Returns:
            (H, W).

        Raises:
            DataError: a value without a label, or channels that do not fit the codes.
        """
        if self.coloured != (coded.ndim == 3):
            has = "colours" if coded.ndim == 3 else "one channel"
            given = "colours" if self.coloured else "values of one channel"
            raise DataError(f"{where} has {has}, and the codes of the masks are {given}")
        wide = coded.astype(np.int64)
        numbers = wide if coded.ndim == 2 else wide[..., :3] @ np.array([65536, 256, 1])  # (H, W)
        place = np.searchsorted(self._numbers, numbers).clip(max=len(self._numbers) - 1)
        unknown = numbers[self._numbers[place] != numbers]
        if unknown.size:
            first = int(unknown.flat[0])
            shown = f"#{first:06x}" if self.coloured else str(first)
            raise DataError(
                f"{where} holds {shown}, for which no label is given; add {shown}=LABEL to the "
                "codes of the masks (255 is ignored)"
            )
        return self._labels[place]
