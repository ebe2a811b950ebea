"""BootMAE's target-aware decoder block."""

from timm.layers import Mlp
from torch import Tensor, nn

from .attention import CrossAttention, SelfAttention
from .encoder_block import NORM_EPS


class DecoderBlock(nn.Module):
    """Self-attention, cross-attention to encoder features, MLP, each residual.

    norm3 and norm4 belong to the cross-attention: the names are the released ones.

    Args:
        dim: width of the decoder.
        context_dim: width of the encoder features attended to.
        num_heads: attention heads of both attentions.
        mlp_ratio: hidden width of the MLP over ``dim``.
    """

    def __init__(self, dim: int, context_dim: int, num_heads: int, mlp_ratio: float = 4.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.attn = SelfAttention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.norm3 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.norm4 = nn.LayerNorm(context_dim, eps=NORM_EPS)
        self.cross_attn = CrossAttention(dim, context_dim, num_heads)

    def forward(self, x: Tensor, context: Tensor, num_queries: int | None = None) -> Tensor:
        """Decode every token, or the last ones alone.

        Args:
            x: (B, 1 + N, C).
            context: (B, 1 + V, C').
            num_queries: Q, tokens at the end whose output is wanted; None for all.

        Returns:
            (B, 1 + N, C), or (B, Q, C).
        """
        attended = self.attn(self.norm1(x), num_queries=num_queries)
        x = (x if num_queries is None else x[:, -num_queries:]) + attended
        x = x + self.cross_attn(self.norm3(x), self.norm4(context))
        return x + self.mlp(self.norm2(x))
