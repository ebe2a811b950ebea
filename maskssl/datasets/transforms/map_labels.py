"""Segmentation maps in other codes than labels: 0 and 255, palettes, colours."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS
from numpy.typing import NDArray

from ..checks.label_codes import LabelCodes


@TRANSFORMS.register_module()
class MapLabels(BaseTransform):
    """Translate the values of a segmentation map into labels, behind LoadMask.

    Args:
        codes: value or '#rrggbb' -> label, e.g. {0: 0, 255: 1}; a value that is missing is
            refused when it is met.
    """

    def __init__(self, codes: Mapping[str | int, int]) -> None:
        self.codes = LabelCodes(codes)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Replace ``gt_seg_map``, (H, W) or (H, W, 3) BGR, by labels (H, W) uint8."""
        coded: NDArray[np.uint8] = results["gt_seg_map"]
        if coded.ndim == 3:
            coded = coded[..., 2::-1]  # mmcv loads BGR
        results["gt_seg_map"] = self.codes.labels(coded, str(results.get("seg_map_path")))
        return results
