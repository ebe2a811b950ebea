"""Weights and images that a name and a size determine, so that figures alone are kept."""

import zlib

import torch
from torch import Tensor


def drawn(name: str, shape: tuple[int, ...]) -> Tensor:
    """Random weights of a tensor, by its name; scales of norms and branches lie around 1."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    value = 0.2 * torch.randn(tuple(shape), generator=generator)
    scales = len(shape) == 1 and any(word in name for word in ("weight", "gamma", "lambda"))
    return 1 + value if scales else value


def pictures(height: int, width: int, count: int = 1) -> Tensor:
    """Normalised images of a size."""
    generator = torch.Generator().manual_seed(height * 1000 + width)
    return torch.randn(count, 3, height, width, generator=generator)


def filled(model: torch.nn.Module) -> torch.nn.Module:
    """A model with drawn weights, in eval mode; integers and fixed periods stay."""
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            value.copy_(drawn(name, tuple(value.shape)))
    model.eval()  # mmpretrain returns nothing
    return model
