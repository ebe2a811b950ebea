"""Self- and cross-attention on torch's fused kernel.

Shapes: B images, N queries, M keys, H heads, D = dim // H channels per head. The
inner width H * D may be smaller than dim (12 heads at 512 give 504, as released).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

# On a CPU the fused kernel's backward is about four times slower than plain matrix
# products for short sequences, and needs less memory only for long ones.
CPU_SHORT_SEQUENCE = 256


def _split_heads(x: Tensor, num_heads: int) -> Tensor:
    return x.unflatten(-1, (num_heads, -1)).transpose(1, 2)  # (B, N, H*D) -> (B, H, N, D)


def _merge_heads(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)  # (B, H, N, D) -> (B, N, H*D)


def _attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
    """softmax(q k^T / sqrt(D) + bias) v: (B, H, N, D) and twice (B, H, M, D) -> (B, H, N, D)."""
    short = max(q.shape[-2], k.shape[-2]) <= CPU_SHORT_SEQUENCE
    if q.device.type == "cpu" and short and torch.is_grad_enabled():
        with sdpa_kernel(SDPBackend.MATH):
            return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)


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
        self, x: Tensor, attn_bias: Tensor | None = None, num_queries: int | None = None
    ) -> Tensor:
        """Attend from every token, or from the last ones alone, to all.

        Args:
            x: (B, N, C).
            attn_bias: (H, N, N), added to the logits.
            num_queries: Q, tokens at the end whose output is wanted; None for all N.

        Returns:
            (B, N, C), or (B, Q, C).
        """
        if num_queries is None:
            parts = self.qkv(x).chunk(3, dim=-1)
        else:
            inner = self.proj.in_features
            weight, bias = self.qkv.weight, self.qkv.bias
            q_bias, kv_bias = (None, None) if bias is None else (bias[:inner], bias[inner:])
            query = F.linear(x[:, -num_queries:], weight[:inner], q_bias)
            parts = (query, *F.linear(x, weight[inner:], kv_bias).chunk(2, dim=-1))
        q, k, v = (_split_heads(part, self.num_heads) for part in parts)
        mask = None if attn_bias is None else attn_bias.to(q.dtype)[None]
        return self.proj(_merge_heads(_attend(q, k, v, mask)))


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
        q = _split_heads(self.q(x), self.num_heads)
        k, v = (_split_heads(part, self.num_heads) for part in self.kv(context).chunk(2, dim=-1))
        return self.proj(_merge_heads(_attend(q, k, v)))
