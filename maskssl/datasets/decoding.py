"""Bytes of an image file to pixels, no more of them than are wanted."""

import io

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

FILTERS = dict(bilinear=Image.Resampling.BILINEAR, bicubic=Image.Resampling.BICUBIC)
# Reduced, an image keeps so many pixels to one of the result that the decoder's own filter is not
# seen: see the test of their difference, and docs/speed.md.
_KEPT = 2
_JPEG, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_FLAGS = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


class StoredImage:
    """An image as a file in memory, or decoded already; a JPEG's size is known before it is.

    Pixels are BGR, as they are stored: an orientation in the EXIF data is ignored.

    Attributes:
        shape: (H, W) of the whole image.
        plain_jpeg: the file, if any decoder takes it: a whole JPEG, grey or of luma and chroma.

    Raises:
        OSError, ValueError, cv2.error: it is no image; likewise ``decoded``.
    """

    def __init__(self, data: bytes | Pixels) -> None:
        self._data, self._whole, self.plain_jpeg = b"", None, b""
        if not isinstance(data, bytes):
            self._whole = data
        elif data.startswith(_JPEG):
            self._data = data
        else:
            self._whole = _decoded(data, 1)
        if self._whole is None:
            with Image.open(io.BytesIO(self._data)) as header:
                self.shape = header.height, header.width
                plain = header.mode in ("L", "RGB") and header.info.get("adobe_transform") != 0
            if plain and self._data.rstrip(b"\0").endswith(_JPEG_END):
                self.plain_jpeg = self._data
        else:
            self.shape = self._whole.shape[:2]

    def decoded(self, shrinking: float = 1.0) -> tuple[Pixels, int]:
        """The pixels (h, w, 3), and by what the decoder reduced them: 1, or a JPEG's 2, 4 or 8.

        The decoder's pixels tile the image, each covering as many by as many of it.

        Args:
            shrinking: how many pixels of the image, in a row or a column, will come to one.
        """
        if self._whole is not None:
            return self._whole, 1
        reduction = 1
        while reduction < 8 and shrinking >= 2 * reduction * _KEPT:
            reduction *= 2
        return _decoded(self._data, reduction), reduction


def _decoded(data: bytes, reduction: int) -> Pixels:
    encoded = np.frombuffer(data, np.uint8)
    pixels = cv2.imdecode(encoded, _FLAGS[reduction] | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels is None:
        raise ValueError("cv2 knows no such format")
    return pixels.astype(np.uint8, copy=False)


def resized_crop(
    pixels: Pixels, box: tuple[float, float, float, float], size: tuple[int, int], mode: str
) -> Pixels:
    """Cut out a box, then resize with a filter that smooths where it shrinks, as Pillow does.

    Args:
        pixels: (H, W, 3).
        box: left, top, right, bottom, in pixels; fractions are kept.
        size: (h, w) of the result.
        mode: of FILTERS.

    Returns:
        (h, w, 3), of memory that is laid out channel by channel.
    """
    left, top, right, bottom = (int(side) for side in box)
    if (left, top, right, bottom) != box:
        image = Image.fromarray(pixels)
        box = (*box[:2], min(box[2], image.width), min(box[3], image.height))
        found = np.asarray(image.resize(size[::-1], FILTERS[mode], box=box))
        return np.ascontiguousarray(found.transpose(2, 0, 1)).transpose(1, 2, 0)
    # torch resizes bytes as Pillow does, in a third of the time; a copy, for it may be read-only
    crop = torch.from_numpy(np.array(pixels[top:bottom, left:right]))
    crop = crop.permute(2, 0, 1)[None]  # (h, w, 3) -> (1, 3, h, w)
    return F.interpolate(crop, size, mode=mode, antialias=True)[0].permute(1, 2, 0).numpy()
