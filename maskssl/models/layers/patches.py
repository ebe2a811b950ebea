"""Images as patches and per-patch normalisation.

Shapes: B images, 3 channels, h x w patches of p x p pixels.
"""

import torch.nn.functional as F
from torch import Tensor

PIXEL_NORM_EPS = 1e-5  # run_pretraining.py of BootMAE: sqrt(var + 1e-5)


def patch_statistics(images: Tensor, patch_size: int) -> tuple[Tensor, Tensor]:
    """Mean and deviation of every patch, per channel, over its p x p pixels.

    MAE takes one mean and deviation over all channels; BootMAE one per channel.

    Args:
        images: (B, 3, H, W).
        patch_size: p.

    Returns:
        Mean and sqrt(biased variance + 1e-5), both (B, 3, H, W): constant in a patch.
    """
    images = images.float()
    mean = spread(F.avg_pool2d(images, patch_size), patch_size)
    variance = F.avg_pool2d((images - mean) ** 2, patch_size)
    return mean, spread((variance + PIXEL_NORM_EPS).sqrt(), patch_size)


def normalise_patches(images: Tensor, patch_size: int) -> Tensor:
    """BootMAE's pixel target: each patch standardised per channel, (B, 3, H, W)."""
    mean, std = patch_statistics(images, patch_size)
    return (images.float() - mean) / std


def spread(per_patch: Tensor, patch_size: int) -> Tensor:
    """Repeat one value per patch over its pixels: (B, C, h, w) -> (B, C, H, W)."""
    return per_patch.repeat_interleave(patch_size, -1).repeat_interleave(patch_size, -2)


def paste_prediction(images: Tensor, prediction: Tensor, mask: Tensor) -> Tensor:
    """Undo the normalisation of predicted patches and paste them where masked.

    The predicted patch carries no mean and contrast of its own; as in the authors'
    pictures, those of the true patch are used.

    Args:
        images: (B, 3, H, W).
        prediction: (B, 3, H, W) normalised pixels.
        mask: (B, h, w) bool, True = masked.

    Returns:
        (B, 3, H, W): the images with masked patches replaced.
    """
    patch_size = images.shape[-1] // mask.shape[-1]
    mean, std = patch_statistics(images, patch_size)
    masked = spread(mask[:, None].float(), patch_size)
    return images * (1 - masked) + (prediction.float() * std + mean) * masked
