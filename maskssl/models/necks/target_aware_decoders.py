"""BootMAE's decoders: one per target, each fed by the encoder level that helps it."""

from typing import Any

import torch
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from ...errors import MaskSSLError
from ...masking import Split
from ..layers.decoder_block import DecoderBlock
from ..layers.encoder_block import NORM_EPS
from ..layers.initialisation import init_linears, init_mask_token
from ..layers.position import Layout, sincos_position


class TargetAwareDecoder(BaseModule):
    """Fill the masked places with a mask token and decode, attending to the encoder.

    Args:
        encoder_dims: width of the encoder.
        embed_dims: width of the decoder.
        num_heads: attention heads, the encoder's.
        num_layers: decoder blocks.
        mlp_ratio: hidden width of the MLPs over ``embed_dims``.
    """

    def __init__(
        self,
        encoder_dims: int,
        embed_dims: int,
        num_heads: int,
        num_layers: int = 2,
        mlp_ratio: float = 4.0,
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(encoder_dims, embed_dims)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, embed_dims))
        self.blocks = nn.ModuleList(
            DecoderBlock(embed_dims, encoder_dims, num_heads, mlp_ratio) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(embed_dims, eps=NORM_EPS)
        init_mask_token(self.mask_token)
        init_linears(self)

    def forward(self, latent: Tensor, context: Tensor, split: Split, position: Tensor) -> Tensor:
        """Decode to every patch of the image.

        Args:
            latent: (B, 1 + V, C) the encoder's output after its final norm.
            context: (B, 1 + V, C) the encoder level to attend to.
            split: which patches those are.
            position: (1, 1 + N, D) table; added to mask tokens only.

        Returns:
            (B, N, D) in image order, without the cls token.
        """
        latent = self.embed(latent)
        num_patches = split.mask.shape[1]
        masked = split.mask.unsqueeze(-1)  # (B, N, 1)
        fill = self.mask_token + position[:, 1:]  # (1, N, D)
        # place of each patch in the ordering; masked ones point at any row, then are replaced
        place = split.ids_restore.clamp(max=latent.shape[1] - 2).unsqueeze(-1)
        seen = latent[:, 1:].gather(1, place.expand(-1, num_patches, latent.shape[-1]))
        # fp32 under autocast too, as the authors' concatenation promotes
        patches = torch.where(masked, fill, seen.to(fill.dtype))  # (B, N, D)
        tokens = torch.cat([latent[:, :1].to(fill.dtype), patches], dim=1)
        for block in self.blocks:
            tokens = block(tokens, context)
        return self.norm(tokens)[:, 1:]


@MODELS.register_module()
class TargetAwareDecoders(BaseModule):
    """A pixel decoder on shallow features and a feature decoder on deep ones.

    Widths, heads and grid are the encoder's; BootMAE fills them in.

    Args:
        encoder_dims: width of the encoder.
        num_heads: heads of the encoder, used in every decoder block.
        grid_size: (h, w) patches.
        patch_size: side of a patch in pixels.
        pixel: options of the pixel decoder (``embed_dims``, ``num_layers``, ``mlp_ratio``).
        feature: options of the feature decoder; None for no feature prediction.
        num_layers: blocks of each decoder where its options say nothing.
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
        in_channels: int = 3,
        pos_embed_layout: Layout = "bootmae",
    ) -> None:
        super().__init__()
        pixel = dict(dict(embed_dims=512, num_layers=num_layers), **(pixel or {}))
        self.grid_size = grid_size
        self.pixel = TargetAwareDecoder(encoder_dims, num_heads=num_heads, **pixel)
        width = pixel["embed_dims"]
        table = sincos_position(grid_size, width, pos_embed_layout, num_prefix=1)
        self.register_buffer("pixel_position", table)
        # PyTorch's default initialisation, as the authors leave it
        self.to_pixels = nn.ConvTranspose2d(width, in_channels, patch_size, stride=patch_size)

        self.feature: TargetAwareDecoder | None = None
        if feature is not None:
            feature = dict(dict(embed_dims=encoder_dims, num_layers=num_layers), **feature)
            if feature["embed_dims"] != encoder_dims:
                raise MaskSSLError(
                    f"the feature decoder shares the encoder's position table: embed_dims must be "
                    f"{encoder_dims}, got {feature['embed_dims']}"
                )
            self.feature = TargetAwareDecoder(encoder_dims, num_heads=num_heads, **feature)
            self.to_features = nn.Linear(encoder_dims, encoder_dims)
            init_linears(nn.ModuleList([self.to_features]))

    def forward(
        self, latent: Tensor, shallow: Tensor, deep: Tensor, split: Split, position: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Predict normalised pixels and teacher features for all patches.

        Args:
            latent: (B, 1 + V, C) encoder output after the final norm.
            shallow: (B, 1 + V, C) tokens after a shallow block, for the pixels.
            deep: (B, 1 + V, C) tokens after a deep block, for the features.
            split: visible and masked patches.
            position: (1, 1 + N, C) the encoder's table.

        Returns:
            Pixels (B, 3, H, W), and features (B, N, C) or None without that decoder.
        """
        pixels = self.pixel(latent, shallow, split, self.pixel_position)
        pixels = self.to_pixels(pixels.transpose(1, 2).unflatten(2, self.grid_size))
        if self.feature is None:
            return pixels, None
        return pixels, self.to_features(self.feature(latent, deep, split, position))
