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

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """(B, 1 + N, C) and (B, 1 + V, C') -> (B, 1 + N, C)."""
        x = x + self.attn(self.norm1(x))
        x = x + self.cross_attn(self.norm3(x), self.norm4(context))
        return x + self.mlp(self.norm2(x))
