"""Reading images, with errors that name the file."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform, LoadImageFromFile
from mmengine import fileio
from mmengine.registry import TRANSFORMS
from PIL import Image

from ...errors import MaskSSLError

# cv2 fails on empty files, mmcv asserts on what cv2 cannot decode, Pillow raises the rest
UNREADABLE = (
    *(cv2.error, AssertionError, AttributeError, OSError, ValueError, SyntaxError),
    Image.DecompressionBombError,  # neither of those
    MaskSSLError,  # a member of a tar shard that is not there
)


class UnreadableImageError(MaskSSLError):
    """A file that should be an image cannot be decoded."""


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """mmcv's LoadImageFromFile for every scope; a bad file is named with its remedy.

    The pixels are read as they are stored: an orientation in the EXIF data is ignored, as by
    Pillow and so by the authors. mmcv's default turns the image.

    Args:
        color_type: 'color' turns the image as its EXIF data says, for annotations that were
            drawn on the turned one.
        **kwargs: of mmcv's LoadImageFromFile.

    Raises:
        UnreadableImageError: the file is missing, empty, or no image.
    """

    def __init__(self, color_type: str = "color_ignore_orientation", **kwargs: Any) -> None:
        super().__init__(color_type=color_type, **kwargs)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add ``img`` (H, W, 3) BGR uint8 and its shapes; read nothing if it is there (a cache)."""
        path, pixels = results["img_path"], results.get("img")
        if pixels is not None:
            shape = pixels.shape[:2]
            return {**results, "img": np.array(pixels), "img_shape": shape, "ori_shape": shape}
        with named_where_unreadable(path):
            loaded = super().transform(results)
        if loaded is None or loaded.get("img") is None:
            raise UnreadableImageError(
                f"{path} holds no image ({_first_bytes(path)}); replace or remove it from the "
                "data folder"
            )
        return loaded


@TRANSFORMS.register_module()
class LoadMask(BaseTransform):
    """mmseg's LoadAnnotations; a bad file is named with its remedy, as a bad image is.

    Whether label 0 is ignored is said by the data set alone.

    Args:
        imdecode_backend: of mmcv's imfrombytes.
        backend_args: of mmengine's fileio.

    Raises:
        UnreadableImageError: the file is missing, empty, or no image.
    """

    def __init__(
        self, imdecode_backend: str = "pillow", backend_args: dict[str, Any] | None = None
    ) -> None:
        self.load = TRANSFORMS.build(
            dict(
                type="mmseg.LoadAnnotations",
                imdecode_backend=imdecode_backend,
                backend_args=backend_args,
            )
        )

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add ``gt_seg_map`` (H, W) uint8, its labels reduced and mapped as the data set says."""
        with named_where_unreadable(results["seg_map_path"]):
            return self.load(results)


@contextmanager
def named_where_unreadable(path: str) -> Iterator[None]:
    """Raise UnreadableImageError, with its remedy, where a file cannot be decoded."""
    try:
        yield
    except UNREADABLE as error:
        raise UnreadableImageError(
            f"{path} cannot be read as an image ({_first_bytes(path)}); replace or remove it "
            "from the data folder"
        ) from error


def _first_bytes(path: str) -> str:
    try:
        head = fileio.get(path)[:12]  # of a member of a tar shard too
    except (OSError, ValueError, MaskSSLError) as error:
        return getattr(error, "strerror", None) or str(error) or "unreadable"
    return f"it starts with {head!r}" if head else "it is empty"
