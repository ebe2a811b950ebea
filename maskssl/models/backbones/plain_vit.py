"""The one backbone: a plain ViT for pretraining, classification and dense transfer."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from timm.layers import PatchEmbed, to_2tuple
from torch import Tensor, nn

from ...errors import MaskSSLError
from ...masking import gather_patches
from ..layers.class_attention import ClassAttention
from ..layers.encoder_block import NORM_EPS, EncoderBlock
from ..layers.initialisation import init_linears, init_patch_embed
from ..layers.patches import patch_grid, patchify, project_patches
from ..layers.position import Layout, Resize, resize_position, sincos_position
from ..layers.recompute import recomputed_blocks, run_block
from ..layers.rotary import RotaryPosition
from ..pretrained.guard import LoadGuard
from ..pretrained.ledger import Ledger
from ..pretrained.loading import initialise_backbone
from .vit_settings import arch_settings, check_tokens, checked_indices, shape_output
from .vit_stages import VitStages


@MODELS.register_module()
class PlainViT(LoadGuard, VitStages, BaseModule):
    """Pre-norm ViT whose tokens are [cls] + [registers] + patches.

    Any input whose sides the patch divides is taken: the position table is fitted to
    its grid. ``init_cfg=dict(type='Pretrained', checkpoint=..., branch='student')``
    loads pretrained weights through maskssl's strict loader in every scope.

    Args:
        arch: 'mini', 'small', 'base', 'large', or a dict with ``embed_dims``, ``num_layers``,
            ``num_heads`` and optionally ``mlp_ratio``.
        img_size: side or (h, w) in pixels; fixes the grid of the position table.
        patch_size: side of a patch in pixels.
        in_channels: channels of the image.
        with_cls_token: prepend a cls token. BootMAE has one, ExtreMA does not.
        class_attention: options of ClassAttention on top of the blocks (``num_layers``,
            ``layer_scale_init``), for out_type 'cls' without a cls token; None for none.
        num_registers: learnt tokens between cls and patches, without a position.
        pos_embed_layout: 'bootmae' or 'mae', see ``sincos_position``; None for no table.
        pos_embed_trainable: learn the table; by default it is fixed.
        pos_resize: how the table is fitted to another grid, see ``resize_position``.
        rotary_base: longest period of rotary positions (DINOv3: 100); None for none.
        qkv_bias: biases on q, k and v.
        drop_path_rate: of the last block; it grows linearly from 0 at the first.
        layer_scale_init: learnt scale on every branch; None for none.
        rel_pos_bias: learnt relative position bias per block; fixes the input size.
        out_type: 'tokens' (B, [1 +] N, C), 'cls' (B, C), 'avg' (B, C) mean of patch
            tokens, or 'featmap' (B, C, h, w).
        out_indices: blocks whose output is returned, counted from 0; None for the
            last. Blocks behind the last of them are not built.
        final_norm: LayerNorm on the last output, patches or class token.
        norm_eps: of all norms of the blocks and of the final one.
        swiglu: gated MLPs, see ``EncoderBlock``.
        frozen_stages: -1 for none, 0 for the stem, k for the stem and k blocks. Frozen
            parts get no gradient and stay in eval mode.
        with_cp: gradient checkpointing: of all blocks, of none, or of those listed, from 0.
        autocast: run under bf16 autocast and return fp32, for heads that know no bf16
            (mmcv's RoIAlign and NMS).
        split_qkv_init: see ``init_linears``.
        init_cfg: only ``Pretrained`` is understood.

    Attributes:
        ledger: what became of every tensor of the last load of pretrained weights; None before.
    """

    def __init__(
        self,
        arch: str | dict[str, Any] = "base",
        img_size: int | tuple[int, int] = 224,
        patch_size: int = 16,
        in_channels: int = 3,
        with_cls_token: bool = True,
        class_attention: dict[str, Any] | None = None,
        num_registers: int = 0,
        pos_embed_layout: Layout | None = "bootmae",
        pos_embed_trainable: bool = False,
        pos_resize: Resize = "bicubic",
        rotary_base: float | None = None,
        qkv_bias: bool = True,
        drop_path_rate: float = 0.0,
        layer_scale_init: float | None = None,
        rel_pos_bias: bool = False,
        out_type: Literal["tokens", "cls", "avg", "featmap"] = "tokens",
        out_indices: Sequence[int] | int | None = None,
        final_norm: bool = True,
        norm_eps: float = NORM_EPS,
        swiglu: bool = False,
        frozen_stages: int = -1,
        with_cp: bool | Sequence[int] = False,
        autocast: bool = False,
        split_qkv_init: bool = True,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        settings = arch_settings(arch)
        self.embed_dims: int = settings["embed_dims"]
        self.num_layers: int = settings["num_layers"]
        self.num_heads: int = settings["num_heads"]
        self.patch_size = patch_size
        self.grid_size = patch_grid(to_2tuple(img_size), patch_size)
        self.pos_embed_layout = pos_embed_layout
        self.pos_resize = pos_resize
        self.rotary_base = rotary_base
        self.norm_eps = norm_eps
        self.ledger: Ledger | None = None
        self.layer_scale_init = layer_scale_init
        self.out_type = out_type
        self.out_indices = checked_indices(out_indices, self.num_layers)
        self.autocast = autocast
        self.split_qkv_init = split_qkv_init
        check_tokens(out_type, with_cls_token, class_attention, num_registers, rel_pos_bias)
        if out_type == "cls" and class_attention is not None and len(self.out_indices) > 1:
            raise MaskSSLError(
                f"out_indices={self.out_indices} asks for several outputs, and class attention "
                "reads the last block alone; name one, or take another out_type"
            )
        if not 0 <= drop_path_rate < 1:
            raise MaskSSLError(f"drop_path_rate={drop_path_rate} is no share; use 0 up to 1")

        self.patch_embed = PatchEmbed(
            img_size=None,
            patch_size=patch_size,
            in_chans=in_channels,
            embed_dim=self.embed_dims,
            flatten=False,
        )
        self.cls_token = (
            nn.Parameter(torch.zeros(1, 1, self.embed_dims)) if with_cls_token else None
        )
        self.register_tokens = (
            nn.Parameter(torch.zeros(1, num_registers, self.embed_dims)) if num_registers else None
        )
        self.pos_embed = (
            nn.Parameter(
                sincos_position(
                    self.grid_size, self.embed_dims, pos_embed_layout, int(with_cls_token)
                ),
                requires_grad=pos_embed_trainable,
            )
            if pos_embed_layout
            else None
        )
        self.rotary = (
            RotaryPosition(self.embed_dims // self.num_heads, rotary_base) if rotary_base else None
        )
        last = max(1, self.num_layers - 1)
        self.blocks = nn.ModuleList(
            EncoderBlock(
                self.embed_dims,
                self.num_heads,
                settings.get("mlp_ratio", 4.0),
                qkv_bias,
                drop_path_rate * index / last,
                layer_scale_init,
                self.grid_size if rel_pos_bias else None,
                norm_eps,
                swiglu,
            )
            for index in range(self.out_indices[-1] + 1)
        )
        self.recomputed = recomputed_blocks(with_cp, len(self.blocks))
        self.class_attention = (
            ClassAttention(self.embed_dims, self.num_heads, **class_attention)
            if class_attention is not None
            else None
        )
        self.norm = nn.LayerNorm(self.embed_dims, eps=norm_eps) if final_norm else nn.Identity()
        self.reset_parameters()
        self.freeze_stages(frozen_stages)

    @property
    def with_cls_token(self) -> bool:
        """Whether the sequence starts with a cls token."""
        return self.cls_token is not None

    @property
    def num_prefix(self) -> int:
        """Tokens in front of the patches: cls and registers."""
        registers = 0 if self.register_tokens is None else self.register_tokens.shape[1]
        return int(self.with_cls_token) + registers

    @property
    def with_final_norm(self) -> bool:
        """Whether the last output is normalised."""
        return isinstance(self.norm, nn.LayerNorm)

    def reset_parameters(self) -> None:
        """The authors' initialisation: xavier everywhere, cls token close to zero."""
        init_linears(self, self.split_qkv_init)
        init_patch_embed(self.patch_embed.proj, zero_bias=self.split_qkv_init)
        if self.cls_token is not None:
            nn.init.normal_(self.cls_token, std=1e-6)
        if self.register_tokens is not None:
            nn.init.normal_(self.register_tokens, std=1e-6)

    def init_weights(self) -> None:
        """Load what ``init_cfg`` names; the constructor has drawn everything else."""
        initialise_backbone(self)
        self.is_init = True

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Encode whole images.

        Args:
            images: (B, 3, H, W), normalised.

        Returns:
            One tensor per out index, shaped by ``out_type``.
        """
        self.refuse_unloaded()
        if self.autocast:
            with torch.autocast(images.device.type, dtype=torch.bfloat16):
                return tuple(output.float() for output in self.encode(images))
        return self.encode(images)

    def encode(self, images: Tensor) -> tuple[Tensor, ...]:
        """``forward`` without its check, for a teacher that was copied and not loaded."""
        tokens, grid = self.embed(images)
        outputs = self.run_blocks(tokens, self.out_indices, grid)
        if self.out_type == "cls" and self.class_attention is not None:
            return (self.class_token(outputs[-1]),)
        outputs[-1] = self.norm(outputs[-1])
        return tuple(shape_output(o, self.out_type, self.num_prefix, grid) for o in outputs)

    def class_token(self, patches: Tensor) -> Tensor:
        """Pool patch tokens (B, N, C) by class attention to (B, C), behind the final norm.

        Raises:
            MaskSSLError: the backbone has no class attention.
        """
        if self.class_attention is None:
            raise MaskSSLError(
                "this backbone has no class attention; set class_attention=dict(num_layers=2, "
                "layer_scale_init=0.1)"
            )
        return self.norm(self.class_attention(patches))

    def embed(
        self, images: Tensor, ids_keep: Tensor | None = None
    ) -> tuple[Tensor, tuple[int, int]]:
        """Cut images into patch tokens, add positions, keep the visible ones, prepend the rest.

        Args:
            images: (B, 3, H, W).
            ids_keep: (B, V) patches to keep; None keeps all.

        Returns:
            (B, num_prefix + V, C) tokens, and the grid (h, w).

        Raises:
            MaskSSLError: the patch does not divide the image.
        """
        grid = patch_grid(images.shape[-2:], self.patch_size)
        position = self.position_table(grid)
        places = position[:, int(self.with_cls_token) :]  # (1, N, C)
        patches = patchify(images, self.patch_size).flatten(2)  # (B, N, 3 * p * p)
        if ids_keep is not None:
            patches = gather_patches(patches, ids_keep)  # (B, N, …) -> (B, V, …)
            places = gather_patches(places.expand(len(images), -1, -1), ids_keep)
        tokens = project_patches(patches, self.patch_embed.proj) + places
        if self.register_tokens is not None:
            registers = self.register_tokens.expand(tokens.shape[0], -1, -1)
            tokens = torch.cat([registers.to(tokens.dtype), tokens], dim=1)
        if self.cls_token is not None:
            cls_token = (self.cls_token + position[:, :1]).expand(tokens.shape[0], -1, -1)
            tokens = torch.cat([cls_token.to(tokens.dtype), tokens], dim=1)
        return tokens, grid

    def run_blocks(
        self,
        tokens: Tensor,
        indices: Sequence[int] | None = None,
        grid: tuple[int, int] | None = None,
    ) -> list[Tensor]:
        """Outputs of blocks, before the final norm.

        Args:
            tokens: (B, T, C).
            indices: ascending, blocks whose outputs are wanted, from 0; None for all. The
                others' are not held.
            grid: (h, w) of the patches, for rotary positions.

        Returns:
            A list of (B, T, C).

        Raises:
            MaskSSLError: rotary positions, and not all patches of a grid.
        """
        rotation = None
        if self.rotary is not None:
            if grid is None or tokens.shape[1] != self.num_prefix + grid[0] * grid[1]:
                raise MaskSSLError(
                    "rotary positions are made for whole images, not for masked ones; pretrain "
                    "with rotary_base=None"
                )
            rotation = self.rotary(grid)
        outputs = []
        for index, block in enumerate(self.blocks):
            tokens = run_block(
                block, index in self.recomputed, tokens, self.with_cls_token, rotation
            )
            if indices is None or index in indices:
                outputs.append(tokens)
        return outputs

    def position_table(self, grid: tuple[int, int]) -> Tensor:
        """The table (1, [1 +] N, C) for a grid, resized where it differs from its own; or zeros."""
        if self.blocks[0].rel_pos is not None and grid != self.grid_size:
            raise MaskSSLError(
                f"the relative position bias is made for a grid of {self.grid_size}, the input has "
                f"{grid}; crop or resize the input to img_size, or set rel_pos_bias=False"
            )
        prefix = int(self.with_cls_token)
        if self.pos_embed is None:
            return self.patch_embed.proj.weight.new_zeros(1, prefix + grid[0] * grid[1], 1)
        return resize_position(self.pos_embed, self.grid_size, grid, prefix, self.pos_resize)
