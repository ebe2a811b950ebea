"""Loading, cropping, resizing and mirroring in one transform, which does no more than it must."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine import fileio
from mmpretrain.registry import TRANSFORMS

from ...errors import MaskSSLError
from ...view_changes import NOTHING, Change
from ..decoding import FILTERS, StoredImage, resized_crop
from .crop_draw import Crop, drawn_crop
from .loading import named_where_unreadable


@TRANSFORMS.register_module()
class LoadResizedCrop(BaseTransform):
    """LoadImage, torchvision's RandomResizedCrop and RandomHorizontalFlip, with their draws.

    The result is theirs up to rounding. Of a JPEG whose crop shrinks to a quarter or less, the
    decoder leaves out what the result does not show. Where the dataset brings ``img`` (BGR), as
    from a cache, nothing is decoded.

    Args:
        size: side of the square result.
        scale: area of the crop as a share of the image, drawn from this range.
        ratio: its width over its height, likewise.
        interpolation: 'bicubic' or 'bilinear'.
        flip_prob: of mirroring left and right.
        flip_on_device: leave the mirroring to the model's device; it is drawn all the same.
        reduce: let the decoder shrink.
        backend_args: of mmengine's file backends.

    Raises:
        UnreadableImageError: the file is missing, empty, or no image.
    """

    def __init__(
        self,
        size: int,
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        interpolation: str = "bicubic",
        flip_prob: float = 0.0,
        flip_on_device: bool = False,
        reduce: bool = True,
        backend_args: dict[str, Any] | None = None,
    ) -> None:
        if interpolation not in FILTERS:
            raise MaskSSLError(
                f"interpolation={interpolation!r} is not known; use {' or '.join(FILTERS)}"
            )
        self.size, self.scale, self.ratio = size, list(scale), list(ratio)
        self.interpolation, self.flip_prob, self.reduce = interpolation, flip_prob, reduce
        self.flip_on_device = flip_on_device
        self.backend_args = backend_args

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add ``img`` (size, size, 3) BGR uint8, its shapes, and what it was reduced by.

        With ``flip_on_device`` the flip is in ``drawn``, see ``view_changes``.
        """
        path = results["img_path"]
        with named_where_unreadable(path):
            brought = results.get("img")
            stored = StoredImage(
                fileio.get(path, backend_args=self.backend_args) if brought is None else brought
            )
        drawn = drawn_crop(*stored.shape, self.scale, self.ratio)
        flipped = self.flip_prob > 0 and torch.rand(1).item() < self.flip_prob
        image, by = self.cropped(path, stored, drawn)
        if self.flip_on_device:
            results["drawn"] = [(Change.FLIP, 0.0) if flipped else NOTHING]
        elif flipped:  # laid out as the image is, channel by channel
            image = np.ascontiguousarray(image.transpose(2, 0, 1)[..., ::-1]).transpose(1, 2, 0)
        results["img"] = image
        results.update(ori_shape=stored.shape, img_shape=(self.size, self.size), reduction=by)
        return results

    def cropped(self, path: str, stored: StoredImage, drawn: Crop) -> tuple[Any, int]:
        """The crop of the image at a path, resized, and what it was reduced by."""
        top, left, height, width = drawn
        with named_where_unreadable(path):
            shrinking = min(height, width) / self.size if self.reduce else 1.0
            pixels, by = stored.decoded(shrinking)
        box = (left / by, top / by, (left + width) / by, (top + height) / by)
        return resized_crop(pixels, box, (self.size, self.size), self.interpolation), by

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value}" for name, value in vars(self).items())
        return f"{type(self).__name__}({options})"
