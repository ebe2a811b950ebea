"""BootMAE's decoders: one per target, each fed by the encoder level that helps it."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from ...errors import MaskSSLError
from ...masking import Split, gather_patches
from ..layers.decoder_block import DecoderBlock
from ..layers.depth import checked_depth
from ..layers.encoder_block import NORM_EPS
from ..layers.initialisation import init_linears, init_mask_token
from ..layers.position import Layout, sincos_position
from ..layers.recompute import recomputed_blocks, run_block


class TargetAwareDecoder(BaseModule):
    """Fill the masked places with a mask token and decode, attending to the encoder.

    Args:
        encoder_dims: width of the encoder.
        embed_dims: width of the decoder.
        num_heads: attention heads, the encoder's.
        num_layers: decoder blocks.
        mlp_ratio: hidden width of the MLPs over ``embed_dims``.
        with_cp: gradient checkpointing: of all blocks, of none, or of those listed, from 0.
    """

    def __init__(
        self,
        encoder_dims: int,
        embed_dims: int,
        num_heads: int,
        num_layers: int = 2,
        mlp_ratio: float = 4.0,
        with_cp: bool | Sequence[int] = False,
    ) -> None:
        super().__init__()
        self.recomputed = recomputed_blocks(with_cp, checked_depth("a decoder", num_layers))
        self.embed = nn.Linear(encoder_dims, embed_dims)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, embed_dims))
        self.blocks = nn.ModuleList(
            DecoderBlock(embed_dims, encoder_dims, num_heads, mlp_ratio) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(embed_dims, eps=NORM_EPS)
        init_mask_token(self.mask_token)
        init_linears(self)

    def forward(
        self,
        latent: Tensor,
        context: Tensor,
        split: Split,
        position: Tensor,
        only_masked: bool,
    ) -> Tensor:
        """Decode to the patches of the image.

        Blocks do not see the order of their tokens, so it is the ordering's: cls, visible,
        masked. Nothing is put back into its place before the end.

        Args:
            latent: (B, 1 + V, C) the encoder's output after its final norm.
            context: (B, 1 + V, C) the encoder level to attend to.
            split: which patches those are.
            position: (1, 1 + N, D) table; added to mask tokens only.
            only_masked: leave out what the loss does not read.

        Returns:
            (B, N, D) in image order, without the cls token; or (B, N - V, D), in the order
            of ``split.ids_masked``.
        """
        latent = self.embed(latent)
        places = position[:, 1:].expand(len(latent), -1, -1)
        masked = self.mask_token + gather_patches(places, split.ids_masked)  # (B, N - V, D)
        # fp32 under autocast too, as the authors' concatenation promotes
        tokens = torch.cat([latent.to(masked.dtype), masked], dim=1)  # (B, 1 + N, D)
        last = len(self.blocks) - 1
        for index, block in enumerate(self.blocks):
            num_queries = masked.shape[1] if only_masked and index == last else None
            tokens = run_block(block, index in self.recomputed, tokens, context, num_queries)
        tokens = self.norm(tokens)
        return tokens if only_masked else gather_patches(tokens[:, 1:], split.ids_restore)


@MODELS.register_module()
class TargetAwareDecoders(BaseModule):
    """A pixel decoder on shallow features and a feature decoder on deep ones.

    Widths, heads and grid are the encoder's; BootMAE fills them in.

    Args:
        encoder_dims: width of the encoder.
        num_heads: heads of the encoder, used in every decoder block.
        grid_size: (h, w) patches.
        patch_size: side of a patch in pixels.
        pixel: options of the pixel decoder (``embed_dims``, ``mlp_ratio``…).
        feature: options of the feature decoder; None for no feature prediction.
        num_layers: blocks of each decoder where its options say nothing.
        with_cp: gradient checkpointing of each decoder where its options say nothing.
        in_channels: channels of the predicted image.
        pos_embed_layout: of the pixel decoder's own position table.
    """

    pixel_position: Tensor

    def __init__(
        self,
        encoder_dims: int,
        num_heads: int,
        grid_size: tuple[int, int],
        patch_size: int,
        pixel: dict[str, Any] | None = None,
        feature: dict[str, Any] | None = None,
        num_layers: int = 2,
        with_cp: bool | Sequence[int] = False,
        in_channels: int = 3,
        pos_embed_layout: Layout = "bootmae",
    ) -> None:
        super().__init__()
        shared = dict(num_layers=num_layers, with_cp=with_cp)
        pixel = dict(dict(shared, embed_dims=512), **(pixel or {}))
        self.grid_size = grid_size
        self.pixel = TargetAwareDecoder(encoder_dims, num_heads=num_heads, **pixel)
        width = pixel["embed_dims"]
        table = sincos_position(grid_size, width, pos_embed_layout, num_prefix=1)
        self.register_buffer("pixel_position", table)
        # PyTorch's default initialisation, as the authors leave it
        self.to_pixels = nn.ConvTranspose2d(width, in_channels, patch_size, stride=patch_size)

        self.feature: TargetAwareDecoder | None = None
        if feature is not None:
            feature = dict(dict(shared, embed_dims=encoder_dims), **feature)
            if feature["embed_dims"] != encoder_dims:
                raise MaskSSLError(
                    f"the feature decoder shares the encoder's position table: embed_dims must be "
                    f"{encoder_dims}, got {feature['embed_dims']}"
                )
            self.feature = TargetAwareDecoder(encoder_dims, num_heads=num_heads, **feature)
            self.to_features = nn.Linear(encoder_dims, encoder_dims)
            init_linears(nn.ModuleList([self.to_features]))

    def forward(
        self,
        latent: Tensor,
        shallow: Tensor,
        deep: Tensor,
        split: Split,
        position: Tensor,
        only_masked: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Predict normalised pixels and teacher features per patch.

        Args:
            latent: (B, 1 + V, C) encoder output after the final norm.
            shallow: (B, 1 + V, C) tokens after a shallow block, for the pixels.
            deep: (B, 1 + V, C) tokens after a deep block, for the features.
            split: visible and masked patches.
            position: (1, 1 + N, C) the encoder's table.
            only_masked: for the N - V masked patches alone, in the ordering's order, instead
                of for all N in the image's.

        Returns:
            Pixels (B, N, 3, p * p), and features (B, N, C) or None without that decoder.
        """
        pixels = self.pixel(latent, shallow, split, self.pixel_position, only_masked)
        pixels = self._patches_of_pixels(pixels)
        if self.feature is None:
            return pixels, None
        return pixels, self.to_features(self.feature(latent, deep, split, position, only_masked))

    def _patches_of_pixels(self, tokens: Tensor) -> Tensor:
        """The transposed convolution, patch by patch: (B, N, D) -> (B, N, 3, p * p)."""
        weight = self.to_pixels.weight.flatten(2)  # (D, 3, p * p)
        bias = self.to_pixels.bias.repeat_interleave(weight.shape[2])
        return F.linear(tokens, weight.flatten(1).T, bias).unflatten(2, weight.shape[1:])
