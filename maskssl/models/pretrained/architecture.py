"""What a PlainViT must be to take a file's weights, as far as the file tells."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ...checkpoints.errors import CheckpointError
from ..layers.position import Layout
from .grids import Grid, layout_at, offsets_grid, table_grid, told_grid
from .recognition import EncoderWeights, block_of
from .source import POOLED_NORM, Pixels, Pooling

# (width, depth) -> heads of our mini, the field's ViT-Ti, S, B, L and H, I-JEPA's and DINOv2's g,
# DINOv3's 7B; no tensor tells it
KNOWN_HEADS = {
    (96, 4): 3,
    (192, 12): 3,
    (384, 12): 6,
    (768, 12): 12,
    (1024, 24): 16,
    (1280, 32): 16,
    (1408, 40): 16,
    (1536, 40): 24,
    (4096, 40): 32,
}
# of mmpretrain's named architectures, where width and depth leave it open
NAMED_HEADS = {"deit-s": 6, "deit-small": 6, "dinov2-s": 6, "dinov2-small": 6} | {
    "mocov3-s": 12,
    "mocov3-small": 12,
}
DIMENSIONS = {"patch_embed.proj.weight": 4, "pos_embed": 3}  # axes of an encoder of images
# out_type of ours and of mmpretrain, global_pool of timm
POOLINGS: dict[str, Pooling] = dict(
    cls="cls", avg="avg", cls_token="cls", avg_featmap="avg", token="cls"
)
_NEEDED = {
    "patch_embed.proj.weight",
    "blocks.0.mlp.fc1.weight",
    "blocks.0.mlp.fc2.weight",
}
POOLED: dict[Pooling, str] = dict(cls="its cls token", avg="the mean of its patches")


def vit_settings(
    weights: EncoderWeights, config: Mapping[str, Any], num_heads: int | None = None
) -> dict[str, Any]:
    """Arguments of PlainViT that the tensors tell; what they cannot, by config or source.

    Args:
        weights: of the encoder, under PlainViT's names.
        config: of ``told_config``.
        num_heads: instead of those of ``told_heads``.

    Raises:
        CheckpointError: there are no blocks, the patches are not those of images, or the number
            of heads cannot be told.
    """
    tensors, source = weights.tensors, weights.source
    if not tensors.keys() >= _NEEDED:
        raise CheckpointError(
            f"this {source.name} checkpoint holds no patch embedding or no blocks; it is no "
            "encoder of a plain ViT"
        )
    for name, axes in DIMENSIONS.items():
        if name in tensors and tensors[name].ndim != axes:
            raise CheckpointError(
                f"{name} of this {source.name} checkpoint has shape {tuple(tensors[name].shape)}, "
                f"not {axes} axes as that of images has; PlainViT takes no encoder of videos or "
                "volumes, use one of images"
            )
    _, in_channels, patch_size, _ = tensors["patch_embed.proj.weight"].shape
    width, depth = _size(tensors)
    _check_width(width, config)
    hidden = tensors["blocks.0.mlp.fc1.weight"].shape[0]
    num_heads = num_heads or told_heads(weights, config)
    if num_heads is None:
        raise CheckpointError(
            f"this {source.name} checkpoint has {depth} blocks of width {width}, not the "
            "size of one known architecture, and no tensor tells the number of attention heads; "
            "give num_heads"
        )
    arch = dict(embed_dims=width, num_layers=depth, num_heads=num_heads, mlp_ratio=hidden / width)
    with_cls_token = "cls_token" in tensors
    grid = _grid(tensors, config)
    registers = tensors.get("register_tokens")
    given = _backbone(config)
    return dict(
        arch=arch,
        img_size=_pixels(grid, patch_size) if grid else given.get("img_size", 224),
        patch_size=patch_size,
        in_channels=in_channels,
        with_cls_token=with_cls_token,
        class_attention=_class_attention(tensors),
        num_registers=0 if registers is None else registers.shape[1],
        pos_embed_layout=_layout(tensors, config, grid),
        pos_resize=given.get("pos_resize", source.pos_resize),
        rotary_base=given.get("rotary_base", source.rotary_base),
        qkv_bias="blocks.0.attn.qkv.bias" in tensors,
        layer_scale_init=1.0 if "blocks.0.ls1.gamma" in tensors else None,
        rel_pos_bias="blocks.0.rel_pos.table" in tensors,
        final_norm="norm.weight" in tensors,
        norm_eps=given.get("norm_eps", source.norm_eps),
        swiglu=hidden == 2 * tensors["blocks.0.mlp.fc2.weight"].shape[1],
    )


def told_heads(weights: EncoderWeights, config: Mapping[str, Any]) -> int | None:
    """Attention heads by the config, the tensors or the source; None where none of them tells.

    Args:
        weights: of an encoder with patch embedding and blocks.
        config: of ``told_config``.
    """
    arch = _backbone(config).get("arch")
    if isinstance(arch, Mapping) and "num_heads" in arch:
        return int(arch["num_heads"])
    width, depth = _size(weights.tensors)
    if "blocks.0.rel_pos.table" in weights.tensors:
        return int(weights.tensors["blocks.0.rel_pos.table"].shape[-1])
    if "rotary.periods" in weights.tensors:
        return width // (4 * len(weights.tensors["rotary.periods"]))
    heads = (KNOWN_HEADS | dict(weights.source.heads)).get((width, depth))
    return NAMED_HEADS.get(arch, heads) if isinstance(arch, str) else heads


def pixels_of(weights: EncoderWeights, config: Mapping[str, Any]) -> Pixels:
    """How images are normalised: by the file's config, else as its source does."""
    preprocessor = config.get("data_preprocessor") or {}
    if _tells_pixels(config):
        return Pixels(tuple(preprocessor["mean"]), tuple(preprocessor["std"]))
    return weights.source.pixels


def _tells_pixels(config: Mapping[str, Any]) -> bool:
    return {"mean", "std"} <= (config.get("data_preprocessor") or {}).keys()


def pooling_of(weights: EncoderWeights, config: Mapping[str, Any]) -> tuple[Pooling | None, bool]:
    """What of the tokens a loss has trained, and whether the file says so or its source does.

    A norm behind the pooling shows the mean of patches; a config names it.
    """
    if POOLED_NORM in weights.dropped.values():
        return "avg", True
    given = POOLINGS.get(str(_backbone(config).get("out_type")))
    return (given, True) if given else (weights.source.pooling, False)


def assumptions(
    weights: EncoderWeights, config: Mapping[str, Any], settings: Mapping[str, Any]
) -> dict[str, str]:
    """What no tensor tells, and who said it: for the ledger.

    Args:
        weights: of the encoder.
        config: what the file or its folder says of itself.
        settings: of ``vit_settings``, or a backbone's own.
    """
    pixels, told = pixels_of(weights, config), _backbone(config)
    normalised = _tells_pixels(config)
    heads = "arch" in told or "blocks.0.rel_pos.table" in weights.tensors

    def by(said: bool) -> str:
        return "the file's config" if said else f"as {weights.source.name}"

    found = {
        "mean and std": f"{pixels.mean}, {pixels.std}, {by(normalised)}",
        "norm_eps": f"{settings['norm_eps']:g}, {by('norm_eps' in told)}",
        "activation": "silu of one half of fc1" if settings["swiglu"] else "gelu",
        "num_heads": f"{settings['arch']['num_heads']}, "
        + ("the file's config" if heads else "usual at this width and depth, or as given"),
    }
    pooling, said = pooling_of(weights, config)
    if pooling:
        found["trained with"] = f"{POOLED[pooling]}, {by(said)}"
    if settings["pos_embed_layout"]:
        rule = f"{settings['pos_resize']}, {by('pos_resize' in told)}"
        found["positions at another size"] = rule
    if settings["rotary_base"] and "rotary.periods" not in weights.tensors:
        found["rotary_base"] = f"{settings['rotary_base']:g}, {by('rotary_base' in told)}"
    return found


def _backbone(config: Mapping[str, Any]) -> Mapping[str, Any]:
    return config.get("backbone") or {}


def _check_width(width: int, config: Mapping[str, Any]) -> None:
    """A config.json may lie beside the weights of another model."""
    arch = _backbone(config).get("arch")
    told = arch.get("embed_dims") if isinstance(arch, Mapping) else None
    if told not in (None, width):
        raise CheckpointError(
            f"the tensors are {width} wide, and the config in the file or beside it says {told}: "
            "it is another model's; move the file, or the config, into a folder of its own"
        )


def _size(tensors: Mapping[str, Tensor]) -> tuple[int, int]:
    """Width and depth."""
    blocks = [block for name in tensors if (block := block_of(name)) is not None]
    return tensors["patch_embed.proj.weight"].shape[0], 1 + max(blocks)


def _grid(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> Grid | None:
    """Of the positions, absolute or relative; None without any, and where it cannot be told."""
    told = told_grid(tensors, config)
    if "pos_embed" in tensors:
        return table_grid(tensors["pos_embed"], int("cls_token" in tensors), told)
    offsets = tensors.get("blocks.0.rel_pos.table")
    return None if offsets is None else offsets_grid(offsets, told)


def _pixels(grid: Grid, patch_size: int) -> int | tuple[int, int]:
    height, width = (patch_size * side for side in grid)
    return height if height == width else (height, width)


def _class_attention(tensors: Mapping[str, Tensor]) -> dict[str, Any] | None:
    blocks = [name for name in tensors if name.startswith("class_attention.blocks.")]
    if not blocks:
        return None
    return dict(num_layers=1 + max(int(name.split(".")[2]) for name in blocks))


def _layout(
    tensors: Mapping[str, Tensor], config: Mapping[str, Any], grid: Grid | None
) -> Layout | None:
    """Of a fixed table, which one it is; of a learnt one it does not matter."""
    table = tensors.get("pos_embed")
    if table is None:
        return None
    fixed = layout_at(table, grid, int("cls_token" in tensors)) if grid else None
    given = _backbone(config).get("pos_embed_layout")
    return fixed or ("bootmae" if given == "bootmae" else "mae")
