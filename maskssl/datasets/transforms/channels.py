"""Pictures of any number of channels and any depth: loading, and a jitter that fits them."""

from io import BytesIO
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine import fileio
from mmengine.registry import TRANSFORMS
from numpy.typing import NDArray

from ...errors import MaskSSLError
from .loading import UNREADABLE, UnreadableImageError

ARRAY_ENDING = ".npy"


@TRANSFORMS.register_module()
class LoadChannels(BaseTransform):
    """Load pictures or .npy arrays with the channels and the depth that they have.

    Values become float32, ``low`` 0 and ``high`` 255, so that what follows means the same as for
    8 bits; values beyond are kept. Channels stay in the file's order, red first. An orientation
    in EXIF is ignored.

    Args:
        channels: that every file has; nothing is dropped or doubled.
        low: stored value that becomes 0.
        high: stored value that becomes 255, e.g. 4095 of 12 bits.

    Raises:
        MaskSSLError: no channel, or an empty range.
        UnreadableImageError: the file is missing, no image, or has other channels.
    """

    def __init__(self, channels: int, low: float = 0.0, high: float = 255.0) -> None:
        if channels < 1 or not high > low:
            raise MaskSSLError(
                f"channels={channels} and values from {low} to {high}; give one channel or more, "
                "and a range"
            )
        self.channels = channels
        self.low, self.high = low, high

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add ``img`` (H, W, C) float32, (H, W) of one channel, and its shapes."""
        path = results["img_path"]
        try:
            stored = read_channels(path)
        except UNREADABLE as error:
            raise UnreadableImageError(
                f"{path} cannot be read as an image or array ({error}); replace or remove it"
            ) from error
        found = 1 if stored.ndim == 2 else stored.shape[2]
        if found != self.channels:
            raise UnreadableImageError(
                f"{path} has {found} channels, and {self.channels} are asked for; write it anew, "
                "or give --channels as all files have them"
            )
        scaled = (stored.astype(np.float32) - self.low) * (255 / (self.high - self.low))
        results["img"] = np.ascontiguousarray(
            scaled[..., 0] if scaled.shape[2:] == (1,) else scaled
        )
        results["img_shape"] = results["ori_shape"] = stored.shape[:2]
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.channels}, low={self.low}, high={self.high})"


def read_channels(path: str) -> NDArray[Any]:
    """Values as they are stored, (H, W) or (H, W, C), red first.

    Raises:
        ValueError: neither an image nor an array of two or three dimensions.
        OSError: the file cannot be read.
    """
    content = fileio.get(path)
    stored: NDArray[Any] | None
    if path.endswith(ARRAY_ENDING):
        if not content:
            raise ValueError("it is empty")
        stored = np.load(BytesIO(content), allow_pickle=False)
    else:
        stored = cv2.imdecode(
            np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
        )
    if stored is None:
        raise ValueError(f"it starts with {content[:12]!r}")
    if stored.ndim not in (2, 3) or stored.dtype.kind not in "buif":
        raise ValueError(f"it holds {stored.dtype} of the shape {stored.shape}")
    if not path.endswith(ARRAY_ENDING) and stored.ndim == 3 and stored.shape[2] in (3, 4):
        return stored[..., [2, 1, 0, 3][: stored.shape[2]]]  # cv2's blue comes first
    return stored


@TRANSFORMS.register_module()
class ChannelJitter(BaseTransform):
    """Brightness and contrast of all channels together: ColorJitter without saturation and hue.

    Args:
        brightness: factors are drawn from 1 - brightness to 1 + brightness.
        contrast: likewise, about the picture's mean.
    """

    def __init__(self, brightness: float = 0.4, contrast: float = 0.4) -> None:
        self.brightness, self.contrast = brightness, contrast

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change ``img``, float32 of any channels; values are not clipped."""
        image = results["img"]
        brightness = np.random.uniform(1 - self.brightness, 1 + self.brightness)
        contrast = np.random.uniform(1 - self.contrast, 1 + self.contrast)
        mean = image.mean()
        results["img"] = (((image - mean) * contrast + mean) * brightness).astype(np.float32)
        return results
