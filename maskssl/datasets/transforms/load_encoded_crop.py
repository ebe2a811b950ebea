"""Reading and drawing alone: the model's device decodes, crops and resizes."""

import torch

from ...encoded_crops import EncodedCrops
from ..decoding import StoredImage
from .crop_draw import Crop
from .load_resized_crop import LoadResizedCrop


class LoadEncodedCrop(LoadResizedCrop):
    """LoadResizedCrop with its draws, whose ``img`` is EncodedCrops of one image.

    What is no plain JPEG, and what the dataset brings decoded, is cropped here.
    """

    def cropped(self, path: str, stored: StoredImage, drawn: Crop) -> tuple[EncodedCrops, int]:
        """The file with the crop's place, or the crop; and what it was reduced by."""
        how = self.size, self.interpolation
        if stored.plain_jpeg:
            data = torch.frombuffer(bytearray(stored.plain_jpeg), dtype=torch.uint8)
            return EncodedCrops.of(path, data, *how, stored.shape, drawn), 1
        image, by = super().cropped(path, stored, drawn)
        planes = torch.from_numpy(image.transpose(2, 0, 1)).flatten()  # (H, W, 3) -> (3 * H * W,)
        return EncodedCrops.of(path, planes, *how), by
