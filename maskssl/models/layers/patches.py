"""Images as patches and per-patch normalisation.

Shapes: B images, C (3) channels, N = h * w patches of p x p pixels.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import MaskSSLError

PIXEL_NORM_EPS = 1e-5  # run_pretraining.py of BootMAE: sqrt(var + 1e-5)


def patch_grid(size: Sequence[int], patch_size: int) -> tuple[int, int]:
    """Rows and columns of patches in an image.

    Args:
        size: (H, W) in pixels.
        patch_size: p.

    Raises:
        MaskSSLError: the patch does not divide it.
    """
    height, width = size
    if height % patch_size or width % patch_size:
        raise MaskSSLError(
            f"an image of {height} x {width} pixels cannot be cut into patches of {patch_size}; "
            f"resize, crop or pad it to multiples of {patch_size} (e.g. "
            f"pad_size_divisor={patch_size} in the data preprocessor)"
        )
    return height // patch_size, width // patch_size


def patchify(images: Tensor, patch_size: int) -> Tensor:
    """Cut images into patches, row by row: (B, C, H, W) -> (B, N, C, p * p)."""
    grid = images.unflatten(3, (-1, patch_size)).unflatten(2, (-1, patch_size))  # B C h p w p
    return grid.permute(0, 2, 4, 1, 3, 5).flatten(4).flatten(1, 2)


def unpatchify(patches: Tensor, grid: tuple[int, int]) -> Tensor:
    """Put patches together again: (B, h * w, C, p * p) -> (B, C, h * p, w * p)."""
    side = round(patches.shape[-1] ** 0.5)
    pixels = patches.unflatten(3, (side, side)).unflatten(1, grid)  # B h w C p p
    return pixels.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)


def project_patches(patches: Tensor, proj: nn.Conv2d) -> Tensor:
    """A convolution whose kernel is its stride, patch by patch: (B, V, C * p * p) -> (B, V, D).

    On a GPU it is a matrix product. On a CPU it stays a convolution, which sums in the order
    of the authors' figures.
    """
    if patches.device.type != "cpu":
        return F.linear(patches, proj.weight.flatten(1), proj.bias)
    pixels = patches.flatten(0, 1).unflatten(1, proj.weight.shape[1:])  # (B * V, C, p, p)
    return proj(pixels).flatten(1).unflatten(0, patches.shape[:2])


def standardise(patches: Tensor) -> Tensor:
    """BootMAE's pixel target: each patch standardised per channel, in fp32.

    Args:
        patches: (…, C, p * p).
    """
    patches = patches.float()
    variance, mean = torch.var_mean(patches, dim=-1, correction=0, keepdim=True)
    return (patches - mean) / (variance + PIXEL_NORM_EPS).sqrt()


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
