"""What a pretraining hides of pictures."""

from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from ..errors import MaskSSLError
from ..models.algorithms.bootmae import BootMAE
from ..models.algorithms.extrema import ExtreMA
from ..models.layers.patches import spread
from .reconstruction import MASK_GREY, picture_grid, pixels_of


def hidden_patches(model: nn.Module, images: Tensor, data_samples: list[Any]) -> dict[str, Tensor]:
    """Title -> (B, N) bool, True where a patch is hidden, of every mask of a step.

    Of BootMAE the blocks, and what the encoder does not see: some masked patches become visible and
    some visible ones are left out, so that all images keep the same number. Of ExtreMA its views.

    Raises:
        MaskSSLError: a model of another method.
    """
    if isinstance(model, BootMAE):
        blocks = torch.stack([torch.as_tensor(s.mask).flatten() for s in data_samples])
        split = model.draw_split(images, data_samples)
        return {"hidden blocks": blocks, "not encoded": split.mask}
    if isinstance(model, ExtreMA):
        kept = model.draw_masks(len(images))  # (B, K, V)
        hidden = torch.ones(len(images), kept.shape[1], model.num_patches, dtype=torch.bool)
        hidden.scatter_(2, kept, False)
        return {f"view {number}": one for number, one in enumerate(hidden.unbind(1), start=1)}
    raise MaskSSLError(
        f"{type(model).__name__} masks no patches that are known here; give a pretraining config "
        "of BootMAE or ExtreMA"
    )


def mask_sheet(model: nn.Module, images: Tensor, data_samples: list[Any]) -> Image.Image:
    """Pictures (B, 3, H, W), normalised, beside what is left of them under each mask."""
    original = pixels_of(model, images)
    columns, titles = [original], ["picture"]
    for title, mask in hidden_patches(model, images, data_samples).items():
        grid = mask.unflatten(1, model.backbone.grid_size)[:, None].float()  # (B, 1, h, w)
        hidden = spread(grid, model.backbone.patch_size)
        columns.append(original * (1 - hidden) + MASK_GREY * hidden)
        shares = mask.float().mean(dim=1)
        titles.append(f"{title}, {shares.mean():.0%}")
    return picture_grid(columns, titles)
