"""The first three principal components of patches, as colours."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_CUT = 0.02  # share of patches at either end that is drawn as black or full


def components(tokens: Tensor, count: int = 3) -> tuple[Tensor, Tensor]:
    """Principal components of rows, the largest first.

    Args:
        tokens: (M, C).
        count: components, at most C.

    Returns:
        Coordinates (M, count), each with the sign that makes the largest entry of its direction
        positive, and the share of the variance that each holds (count,).
    """
    centred = tokens.double() - tokens.double().mean(dim=0)
    values, directions = torch.linalg.eigh(centred.T @ centred)  # rising
    directions = directions.flip(1)[:, :count]
    largest = directions.gather(0, directions.abs().argmax(dim=0, keepdim=True))
    shares = values.flip(0)[:count] / values.sum().clamp(min=1e-12)
    return centred @ (directions * largest.sign()), shares


def component_colours(patches: Tensor, grid: tuple[int, int]) -> tuple[NDArray[np.uint8], Tensor]:
    """Patches of several pictures in common colours: red, green, blue are components 1 to 3.

    Args:
        patches: (B, N, C).
        grid: (h, w).

    Returns:
        (B, h, w, 3), and the shares of the variance (3,).
    """
    found, shares = components(patches.flatten(0, 1))  # (B * N, 3)
    low, high = (torch.quantile(found, cut, dim=0) for cut in (_CUT, 1 - _CUT))
    scaled = ((found - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
    colours = (255 * scaled).round().byte().unflatten(0, (len(patches), *grid))
    return colours.numpy(), shares
