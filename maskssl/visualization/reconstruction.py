"""Pictures of what a pretrained model fills in."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from ..models.algorithms.bootmae import BootMAE
from ..models.layers.patches import paste_prediction, spread
from .sheets import grid_of

MASK_GREY = 0.5
TITLES = ("original", "masked input", "reconstruction")


@torch.no_grad()
def reconstruct(
    model: BootMAE,
    images: Tensor,
    ids_shuffle: Tensor | None = None,
    data_samples: list | None = None,
) -> list[Tensor]:
    """Original, masked input and reconstruction, each (B, 3, H, W) in 0..1 RGB.

    Args:
        model: in any mode; it is left as it was.
        images: (B, C, H, W), normalised by the model's preprocessor.
        ids_shuffle: (B, N) ordering; from the samples' block masks when None.
        data_samples: with block masks.
    """
    was_training = model.training
    model.eval()
    split = model.draw_split(images, data_samples, ids_shuffle)
    prediction, _ = model.predict_targets(images, split)
    model.train(was_training)
    mask = split.mask.unflatten(1, model.backbone.grid_size)
    filled = paste_prediction(images, prediction, mask)
    original, filled = (pixels_of(model, x) for x in (images, filled))
    hidden = spread(mask[:, None].float(), images.shape[-1] // mask.shape[-1]).cpu()
    return [original, original * (1 - hidden) + MASK_GREY * hidden, filled]


def pixels_of(model: nn.Module, images: Tensor) -> Tensor:
    """Normalised images (B, C, H, W) as they look: (B, 3, H, W) in 0..1 RGB, on the CPU."""
    mean, std = model.data_preprocessor.mean, model.data_preprocessor.std
    rgb = [0, 1, 2] if images.shape[1] >= 3 else [0, 0, 0]  # of other channels, what comes first
    return ((images * std + mean) / 255)[:, rgb].clamp(0, 1).cpu()


def picture_grid(
    columns: Sequence[Tensor], titles: Sequence[str] = TITLES, side: int = 128
) -> Image.Image:
    """Lay columns of images side by side under their titles.

    Args:
        columns: per column (B, 3, H, W) in 0..1 RGB.
        titles: one per column.
        side: width of a cell in pixels; small images are enlarged without smoothing.
    """
    nearest = columns[0].shape[-1] < side
    method = Image.Resampling.NEAREST if nearest else Image.Resampling.BICUBIC
    height = round(side * columns[0].shape[-2] / columns[0].shape[-1])
    cells = [
        [Image.fromarray(_bytes(image)).resize((side, height), method) for image in row]
        for row in zip(*columns, strict=True)
    ]
    return grid_of(cells, titles, side)


def _bytes(image: Tensor) -> NDArray[np.uint8]:
    """(3, H, W) in 0..1 -> (H, W, 3)."""
    return (image.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
