"""The crop that MAE and BootMAE probe with."""

import math

import numpy as np
from mmpretrain.datasets.transforms import RandomResizedCrop
from mmpretrain.registry import TRANSFORMS


@TRANSFORMS.register_module()
class MAEResizedCrop(RandomResizedCrop):
    """RandomResizedCrop that draws once and cuts off what does not fit.

    The usual one draws anew up to ten times, which prefers crops that fit
    (mae_util/crop.py). Arguments are those of mmpretrain's RandomResizedCrop.
    """

    def rand_crop_params(self, img: np.ndarray) -> tuple[int, int, int, int]:
        """Top, left, height and width of a crop of an (H, W, 3) image, in pixels."""
        height, width = img.shape[:2]
        area = height * width * np.random.uniform(*self.crop_ratio_range)
        aspect = math.exp(np.random.uniform(*np.log(self.aspect_ratio_range)))
        crop_width = min(width, max(1, round(math.sqrt(area * aspect))))
        crop_height = min(height, max(1, round(math.sqrt(area / aspect))))
        top = np.random.randint(0, height - crop_height + 1)
        left = np.random.randint(0, width - crop_width + 1)
        return top, left, crop_height, crop_width
