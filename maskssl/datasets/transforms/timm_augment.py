"""RandAugment and random erasing as timm draws them, which the authors fine-tune with."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmpretrain.registry import TRANSFORMS
from timm.data.auto_augment import rand_augment_transform
from timm.data.random_erasing import RandomErasing
from timm.data.transforms import str_to_pil_interp

from ...errors import MaskSSLError


@TRANSFORMS.register_module()
class TimmRandAugment(BaseTransform):
    """timm's RandAugment on the Pillow image that dict(type='NumpyToPIL', to_rgb=True) makes.

    mmpretrain's own turns and shears by cv2. Corners that turns and shifts lay bare take the
    colour that normalises to zero, as timm's create_transform has it.

    Args:
        policy: timm's notation, e.g. 'rand-m9-mstd0.5-inc1'.
        mean: (R, G, B) of 0 to 255 by which the model normalises.
        interpolation: 'bicubic' or 'bilinear'.

    Raises:
        MaskSSLError: a policy that is none of RandAugment's.
    """

    def __init__(self, policy: str, mean: Sequence[float], interpolation: str = "bicubic") -> None:
        try:
            self.augment = rand_augment_transform(
                policy,
                dict(
                    img_mean=tuple(round(channel) for channel in mean),
                    interpolation=str_to_pil_interp(interpolation),
                ),
            )
        except (AssertionError, ValueError) as error:
            raise MaskSSLError(
                f"policy={policy!r} is none of timm's RandAugment; write it like "
                "'rand-m9-mstd0.5-inc1'"
            ) from error

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Augment ``img``, an RGB Pillow image."""
        results["img"] = self.augment(results["img"])
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.augment})"


@TRANSFORMS.register_module()
class TimmRandomErasing(BaseTransform):
    """timm's random erasing per pixel: noise of N(0, 1) behind the model's normalisation.

    The model normalises, the pipeline draws, so that the noise depends on (seed, epoch, image)
    like every draw: where it erases, the image becomes ``mean + std * noise``, not clipped.
    So ``img`` leaves as float32, of the same range 0 to 255 elsewhere.

    Args:
        prob: share of the images that lose a rectangle.
        mean: (R, G, B) by which the model normalises, or one value for any channels.
        std: likewise.
        min_area: of the rectangle, as a share of the image.
        max_area: likewise.
    """

    def __init__(
        self,
        prob: float,
        mean: Sequence[float],
        std: Sequence[float],
        min_area: float = 0.02,
        max_area: float = 1 / 3,
    ) -> None:
        self.erasing = RandomErasing(
            prob, min_area=min_area, max_area=max_area, mode="pixel", device="cpu"
        )
        # (3,) in the image's order of channels, BGR
        self.mean = np.array(mean[::-1], dtype=np.float32)
        self.std = np.array(std[::-1], dtype=np.float32)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Turn ``img`` (H, W, 3), BGR, to float32, and erase a rectangle of it by chance."""
        image = np.atleast_3d(results["img"]).astype(np.float32)
        noise = torch.full((image.shape[2], *image.shape[:2]), torch.nan)
        self.erasing(noise)
        noise = noise.flip(0).permute(1, 2, 0).numpy()  # (3, H, W), RGB -> (H, W, 3), BGR
        results["img"] = np.where(np.isnan(noise), image, self.mean + self.std * noise)
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.erasing}, mean={self.mean}, std={self.std})"
