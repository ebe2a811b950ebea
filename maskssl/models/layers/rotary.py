"""Rotary positions of DINOv3: q and k of patches are turned by angles of row and column."""

import math

import torch
from torch import Tensor, nn

from ...errors import MaskSSLError


class RotaryPosition(nn.Module):
    """Angles for any grid; nothing is learnt and nothing resized.

    Rows and columns lie in -1..1 whatever the size (rope_position_encoding.py of DINOv3,
    normalize_coords='separate'). The first quarter of a head's channels turns with the row, the
    second with the column, each against the channel half a head behind it.

    Args:
        head_dim: D, channels of a head, divisible by 4.
        base: the periods lie between 1 and ``base``, geometrically.
    """

    periods: Tensor

    def __init__(self, head_dim: int, base: float = 100.0) -> None:
        super().__init__()
        if head_dim % 4:
            raise MaskSSLError(
                f"rotary positions need heads of a width divisible by 4, got {head_dim}; change "
                "embed_dims or num_heads"
            )
        exponents = 2 * torch.arange(head_dim // 4, dtype=torch.float32) / (head_dim // 2)
        self.register_buffer("periods", base**exponents)  # released files bring their own

    def forward(self, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Sine and cosine of the angles, both (h * w, D)."""
        middles = (torch.arange(side, device=self.periods.device) + 0.5 for side in grid)
        # the last one tells the side, which a graph of any size knows as a tensor alone
        rows, cols = (2 * own / (own[-1] + 0.5) - 1 for own in middles)
        places = torch.stack(torch.meshgrid(rows, cols, indexing="ij"), dim=-1)  # (h, w, 2)
        angles = 2 * math.pi * places.flatten(0, 1)[..., None] / self.periods  # (N, 2, D / 4)
        angles = angles.flatten(1).tile(2)  # (N, D)
        return angles.sin(), angles.cos()


def rotate(heads: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Turn the channels of the patches, which come last; tokens in front stay.

    Args:
        heads: (B, H, [prefix +] N, W), of whose W >= D channels the first D are turned.
        rotation: of ``RotaryPosition``, (N, D) each.
    """
    sine, cosine = rotation
    count, dim = sine.shape
    patches = heads[..., -count:, :dim]
    first, second = patches.chunk(2, dim=-1)
    turned = (patches * cosine + torch.cat([-second, first], dim=-1) * sine).to(heads.dtype)
    turned = torch.cat([turned, heads[..., -count:, dim:]], dim=-1)
    return torch.cat([heads[..., :-count, :], turned], dim=-2)
