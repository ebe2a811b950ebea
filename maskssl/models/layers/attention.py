"""Self- and cross-attention on torch's fused kernel.

Shapes: B images, N queries, M keys, H heads, D = dim // H channels per head. The
inner width H * D may be smaller than dim (12 heads at 512 give 504, as released).
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from .rotary import rotate

# On a CPU the fused kernel's backward is about four times slower than plain matrix
# products for short sequences, and needs less memory only for long ones.
CPU_SHORT_SEQUENCE = 256
# Up to one tile of keys the memory-efficient kernel is the fastest on an H200, 1.4 to 1.6 times
# as fast as cuDNN's (docs/speed.md), and adds no partial sums in an order that may change. Beyond
# it torch's own choice is: cuDNN, else flash.
GPU_SHORT_SEQUENCE = 64
# Kernels of a GPU want heads of a multiple of 8 channels. BootMAE's pixel decoder has 42, for which
# there is but a slow one.
HEAD_MULTIPLE = {"cpu": 1}
GPU_HEAD_MULTIPLE = 8


def _head_width(head_dim: int, device: torch.device) -> int:
    """D, or the next number of channels per head that the device has fast kernels for."""
    multiple = HEAD_MULTIPLE.get(device.type, GPU_HEAD_MULTIPLE)
    return -(-head_dim // multiple) * multiple


def _widen_heads(weights: Tensor, head_dim: int, width: int, dim: int = 0) -> Tensor:
    """Append zero channels to every head along a dimension of a projection's weights or bias."""
    if width == head_dim:
        return weights
    heads = weights.unflatten(dim, (-1, head_dim))  # (H*D, …) -> (H, D, …)
    behind = heads.ndim - dim - 2
    return F.pad(heads, (0, 0) * behind + (0, width - head_dim)).flatten(dim, dim + 1)


def _into_heads(
    x: Tensor, layer: nn.Linear, head_dim: int, width: int, rows: slice | None = None
) -> Tensor:
    """A projection to (B, N, H * W), or those of its H * D outputs that are named."""
    if width == head_dim and rows is None:
        return layer(x)
    weight, bias = layer.weight, layer.bias
    if rows is not None:
        weight, bias = weight[rows], None if bias is None else bias[rows]
    if bias is not None:
        bias = _widen_heads(bias, head_dim, width)
    return F.linear(x, _widen_heads(weight, head_dim, width), bias)


def _out_of_heads(x: Tensor, layer: nn.Linear, head_dim: int, width: int) -> Tensor:
    """The projection of (B, H, N, W), whose heads are D wide without zeros."""
    merged = x.transpose(1, 2).flatten(2)  # (B, N, H * W)
    if width == head_dim:
        return layer(merged)
    return F.linear(merged, _widen_heads(layer.weight, head_dim, width, dim=1), layer.bias)


def _split_heads(x: Tensor, num_heads: int) -> Tensor:
    return x.unflatten(-1, (num_heads, -1)).transpose(1, 2)  # (B, N, H*W) -> (B, H, N, W)


def short_kernels(device: torch.device, longest: int) -> AbstractContextManager[Any]:
    """Where attention of so many queries or keys is fast; torch's own choice if that is best."""
    if device.type == "cpu":
        if torch.is_grad_enabled() and longest <= CPU_SHORT_SEQUENCE:
            return sdpa_kernel(SDPBackend.MATH)
    elif longest <= GPU_SHORT_SEQUENCE:
        return sdpa_kernel([SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH])
    return nullcontext()


def _attend(q: Tensor, k: Tensor, v: Tensor, head_dim: int, bias: Tensor | None = None) -> Tensor:
    """softmax(q k^T / sqrt(D) + bias) v: (B, H, N, W) and twice (B, H, M, W) -> (B, H, N, W).

    W >= D are channels with zeros behind the D of each head, which change no product.
    """
    with short_kernels(q.device, max(q.shape[-2], k.shape[-2])):
        return F.scaled_dot_product_attention(q, k, v, bias, scale=head_dim**-0.5)


class SelfAttention(nn.Module):
    """Multi-head self-attention with one fused projection for q, k and v.

    A bias on k shifts all logits of a query alike, which softmax ignores: weights
    released with biases on q and v alone load with a k bias of zero.
    """

    def __init__(self, dim: int, num_heads: int, qkv_bias: bool = True) -> None:
        super().__init__()
        inner = dim // num_heads * num_heads
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * inner, bias=qkv_bias)
        self.proj = nn.Linear(inner, dim)

    def forward(
        self,
        x: Tensor,
        attn_bias: Tensor | None = None,
        num_queries: int | None = None,
        rotation: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Attend from every token, or from the last ones alone, to all.

        Args:
            x: (B, N, C).
            attn_bias: (H, N, N), added to the logits.
            num_queries: Q, tokens at the end whose output is wanted; None for all N.
            rotation: of ``RotaryPosition``, for q and k of the patches; with all N queries.

        Returns:
            (B, N, C), or (B, Q, C).
        """
        inner = self.proj.in_features
        head_dim = inner // self.num_heads
        width = _head_width(head_dim, x.device)
        if num_queries is None:
            parts = _into_heads(x, self.qkv, head_dim, width).chunk(3, dim=-1)
        else:
            queries = x[:, -num_queries:]
            q = _into_heads(queries, self.qkv, head_dim, width, slice(0, inner))
            kv = _into_heads(x, self.qkv, head_dim, width, slice(inner, None))
            parts = (q, *kv.chunk(2, dim=-1))
        q, k, v = (_split_heads(part, self.num_heads) for part in parts)
        if rotation is not None:
            q, k = rotate(q, rotation), rotate(k, rotation)
        mask = None if attn_bias is None else attn_bias.to(q.dtype)[None]
        return _out_of_heads(_attend(q, k, v, head_dim, mask), self.proj, head_dim, width)


class CrossAttention(nn.Module):
    """Queries from one sequence, keys and values from another of width ``context_dim``."""

    def __init__(self, dim: int, context_dim: int, num_heads: int, qkv_bias: bool = True) -> None:
        super().__init__()
        inner = dim // num_heads * num_heads
        self.num_heads = num_heads
        self.q = nn.Linear(dim, inner, bias=qkv_bias)
        self.kv = nn.Linear(context_dim, 2 * inner, bias=qkv_bias)
        self.proj = nn.Linear(inner, dim)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """(B, N, C) and (B, M, C') -> (B, N, C)."""
        head_dim = self.proj.in_features // self.num_heads
        width = _head_width(head_dim, x.device)
        q = _split_heads(_into_heads(x, self.q, head_dim, width), self.num_heads)
        kv = _into_heads(context, self.kv, head_dim, width)
        k, v = (_split_heads(part, self.num_heads) for part in kv.chunk(2, dim=-1))
        return _out_of_heads(_attend(q, k, v, head_dim), self.proj, head_dim, width)
