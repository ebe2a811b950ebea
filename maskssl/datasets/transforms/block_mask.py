"""The block mask of BootMAE as a data transform."""

from typing import Any

from mmcv.transforms import BaseTransform
from mmpretrain.registry import TRANSFORMS

from ...masking import block_mask


@TRANSFORMS.register_module()
class BlockMask(BaseTransform):
    """Draw a block mask per image; PackInputs carries it with algorithm_keys=['mask'].

    Adds ``mask``: (h, w) bool array, True = masked.

    Args:
        grid: (h, w) patches.
        num_masks: patches to mask; None scales the authors' 120 of 196, and so on for
            ``min_area`` (16) and ``max_area`` (60).
        min_area: smallest block aimed at.
        max_area: most new patches per block.
        min_aspect: height : width lies in [min_aspect, 1 / min_aspect].
    """

    def __init__(
        self,
        grid: tuple[int, int],
        num_masks: int | None = None,
        min_area: int | None = None,
        max_area: int | None = None,
        min_aspect: float = 0.3,
    ) -> None:
        self.options: dict[str, Any] = dict(
            grid=tuple(grid),
            num_masks=num_masks,
            min_area=min_area,
            max_area=max_area,
            min_aspect=min_aspect,
        )
        block_mask(**self.options)  # an impossible grid or count shows now

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add the mask."""
        results["mask"] = block_mask(**self.options).numpy()
        return results

    def __repr__(self) -> str:
        options = ", ".join(f"{key}={value}" for key, value in self.options.items())
        return f"{type(self).__name__}({options})"
