"""Where the heads of an encoder look."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from ..models.backbones.plain_vit import PlainViT
from ..models.layers.rotary import rotate

_GROUND = 0.25  # brightness that is left to the picture where nobody looks


@torch.no_grad()
def attention_maps(backbone: PlainViT, images: Tensor) -> Tensor:
    """How much each head reads from each patch of whole images, (B, H, h, w).

    The one that asks is the class token: that of the class attention's last block where the encoder
    has one, else of its own last block. Without a class token it is the mean of the patches' rows.
    A map sums to 1 with what goes to the tokens in front.

    Args:
        backbone: in eval mode.
        images: (B, 3, H, W), normalised.
    """
    tokens, grid = backbone.embed(images)
    last = len(backbone.blocks) - 1
    if backbone.class_attention is not None:
        patches = backbone.run_blocks(tokens, (last,), grid)[-1]
        return _class_attention(backbone.class_attention, patches).unflatten(2, grid)
    if last > 0:
        tokens = backbone.run_blocks(tokens, (last - 1,), grid)[-1]
    block = backbone.blocks[last]
    q, k, _ = _heads(block.attn.qkv(block.norm1(tokens)), block.attn.num_heads, 3)
    if backbone.rotary is not None:
        q, k = (rotate(part, backbone.rotary(grid)) for part in (q, k))
    bias = 0 if block.rel_pos is None else block.rel_pos(backbone.with_cls_token)
    weights = _weights(q, k, bias)  # (B, H, T, T)
    prefix = backbone.num_prefix
    rows = weights[:, :, :1] if backbone.with_cls_token else weights[:, :, prefix:]
    return rows.mean(dim=2)[..., prefix:].unflatten(2, grid)


def _class_attention(pooling: nn.Module, patches: Tensor) -> Tensor:
    """(B, N, C) -> (B, H, N): what the last block of a class attention reads."""
    token = pooling.cls_token.expand(len(patches), -1, -1)
    for block in pooling.blocks[:-1]:
        token = block(patches, token)
    attention = pooling.blocks[-1].attn
    tokens = pooling.blocks[-1].norm1(torch.cat([token, patches], dim=1))  # (B, 1 + N, C)
    (q,), (k,) = (
        _heads(part, attention.num_heads, 1)
        for part in (attention.q(tokens[:, :1]), attention.k(tokens))
    )
    return _weights(q, k)[:, :, 0, 1:]


def _heads(x: Tensor, num_heads: int, parts: int) -> list[Tensor]:
    """(B, T, parts * H * D) -> parts of (B, H, T, D)."""
    return [part.unflatten(2, (num_heads, -1)).transpose(1, 2) for part in x.chunk(parts, dim=2)]


def _weights(q: Tensor, k: Tensor, bias: Tensor | int = 0) -> Tensor:
    return (q @ k.transpose(2, 3) * q.shape[-1] ** -0.5 + bias).softmax(dim=-1)


def heat_over(pixels: NDArray[np.uint8], heat: NDArray[np.floating], side: int) -> Image.Image:
    """A picture lit where the heat is, each map by its own highest value.

    Args:
        pixels: (H, W, 3) RGB.
        heat: (h, w), not negative.
        side: width of the result in pixels.
    """
    size = side, round(side * pixels.shape[0] / pixels.shape[1])
    small = Image.fromarray((heat / max(heat.max(), 1e-12)).astype(np.float32))
    shares = np.asarray(small.resize(size, Image.Resampling.BICUBIC)).clip(0, 1)[..., None]
    colours = 255 * colormaps["inferno"](shares[..., 0])[..., :3]
    picture = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
    mixed = picture * _GROUND * (1 - shares) + colours * shares
    return Image.fromarray(mixed.round().astype(np.uint8))


def head_titles(num_heads: int) -> Sequence[str]:
    """Of the columns: the picture, the mean of the heads, and each head."""
    return ["picture", "mean", *(f"head {number}" for number in range(1, num_heads + 1))]
