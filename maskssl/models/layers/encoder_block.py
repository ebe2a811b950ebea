"""The pre-norm transformer block of the encoder."""

from timm.layers import DropPath, LayerScale, Mlp, SwiGLUPacked
from torch import Tensor, nn

from .attention import SelfAttention
from .relative_position import RelativePositionBias

NORM_EPS = 1e-6


class EncoderBlock(nn.Module):
    """x + attention(norm1 x), then x + mlp(norm2 x); options off by default.

    Args:
        dim: width C.
        num_heads: attention heads.
        mlp_ratio: hidden width of the MLP over C.
        qkv_bias: biases on the fused projection.
        drop_path: probability that a sample skips a branch in training.
        layer_scale_init: learnt scale per channel on both branches; None for none.
        rel_pos_grid: (h, w) for a relative position bias of this block; None for none.
        norm_eps: of both norms.
        swiglu: a gated MLP, silu(a) * b of the two halves of fc1; ``mlp_ratio`` counts both.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        drop_path: float = 0.0,
        layer_scale_init: float | None = None,
        rel_pos_grid: tuple[int, int] | None = None,
        norm_eps: float = NORM_EPS,
        swiglu: bool = False,
    ) -> None:
        super().__init__()

        def scale() -> nn.Module:
            return nn.Identity() if layer_scale_init is None else LayerScale(dim, layer_scale_init)

        self.norm1 = nn.LayerNorm(dim, eps=norm_eps)
        self.attn = SelfAttention(dim, num_heads, qkv_bias)
        self.ls1 = scale()
        self.norm2 = nn.LayerNorm(dim, eps=norm_eps)
        self.mlp = (SwiGLUPacked if swiglu else Mlp)(dim, round(dim * mlp_ratio))
        self.ls2 = scale()
        self.drop_path = DropPath(drop_path)
        self.rel_pos = RelativePositionBias(rel_pos_grid, num_heads) if rel_pos_grid else None

    def forward(
        self,
        x: Tensor,
        with_cls_token: bool = True,
        rotation: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """(B, N, C) -> (B, N, C); ``rotation`` of ``RotaryPosition``."""
        bias = None if self.rel_pos is None else self.rel_pos(with_cls_token)
        x = x + self.drop_path(self.ls1(self.attn(self.norm1(x), bias, rotation=rotation)))
        return x + self.drop_path(self.ls2(self.mlp(self.norm2(x))))
