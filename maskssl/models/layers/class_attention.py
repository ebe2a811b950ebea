"""Class attention of CaiT, as ExtreMA pools its patch tokens."""

import torch
from timm.layers import LayerNorm
from timm.models.cait import LayerScaleBlockClassAttn
from torch import Tensor, nn

from .attention import short_kernels
from .depth import checked_depth


class ClassAttention(nn.Module):
    """A cls token that reads the patch tokens through a few blocks and leaves them unchanged.

    Each block attends from cls to [cls, patches] and scales its branches by a learnt layer
    scale (vits.py of ExtreMA: Block_CA); there is no drop path.

    Args:
        dim: width C.
        num_heads: attention heads.
        num_layers: blocks.
        layer_scale_init: first value of the layer scale, 0.1 for Base and 1e-5 for Large.
        mlp_ratio: hidden width of the MLPs over C.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        num_layers: int = 2,
        layer_scale_init: float = 0.1,
        mlp_ratio: float = 4.0,
    ) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.blocks = nn.ModuleList(
            LayerScaleBlockClassAttn(
                dim,
                num_heads,
                mlp_ratio,
                qkv_bias=True,
                norm_layer=LayerNorm,
                init_values=layer_scale_init,
            )
            for _ in range(checked_depth("class attention", num_layers))
        )
        nn.init.normal_(self.cls_token, std=0.02)

    def forward(self, patches: Tensor) -> Tensor:
        """(B, N, C) patch tokens -> (B, C), before the final norm."""
        cls_token = self.cls_token.expand(len(patches), -1, -1)  # (B, 1, C)
        # one query is short, whatever it reads; cuDNN's kernel for it does not repeat on an H200
        with short_kernels(patches.device, 1):
            for block in self.blocks:
                cls_token = block(patches, cls_token)
        return cls_token[:, 0]
