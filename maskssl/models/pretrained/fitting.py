"""Tensors into a PlainViT by name and shape: each one used, resized, dropped or refused."""

from collections.abc import Mapping
from typing import Any, Protocol

from timm.layers import resize_rel_pos_bias_table
from torch import Tensor, nn

from ..layers.position import Layout, Resize, resize_position
from .grids import Grid, offsets_grid, table_grid, told_grid
from .ledger import Ledger
from .recognition import EncoderWeights, block_of

# Absent from most checkpoints, and without effect as long as they are fresh.
FRESH_ENDINGS = (".ls1.gamma", ".ls2.gamma")
# ending of a name that a checkpoint lacks -> the setting that does without it
_WITHOUT = {
    "register_tokens": "num_registers=0",
    "pos_embed": "pos_embed_layout=None",
    ".attn.qkv.bias": "qkv_bias=False",
    "norm.weight": "final_norm=False",
    "norm.bias": "final_norm=False",
}


class Backbone(Protocol):
    """What a plain ViT says of itself; PlainViT is one.

    Attributes:
        num_layers: blocks of the architecture, of which ``blocks`` are built.
        with_cls_token: its sequence starts with a cls token.
        class_attention: pooling on top of the blocks, or None.
        with_final_norm: the last output is normalised.
        layer_scale_init: first value of a learnt scale; None for none.
        out_indices: blocks whose output is returned.
        pos_embed: position table (1, [1 +] h * w, C), made for ``grid_size`` (h, w) in
            ``pos_embed_layout``; None for none.
        pos_resize: how it is fitted to another grid.
        out_type: what it returns, see PlainViT.
        norm_eps: of its norms.
        rotary_base: longest period of rotary positions; None for none.
        num_heads: attention heads.
        init_cfg: what to start from.
        ledger: of the last load; None before.
    """

    num_layers: int
    blocks: nn.ModuleList
    class_attention: nn.Module | None
    layer_scale_init: float | None
    out_indices: tuple[int, ...]
    pos_embed: Tensor | None
    pos_embed_layout: Layout | None
    pos_resize: Resize
    out_type: str
    norm_eps: float
    rotary_base: float | None
    grid_size: tuple[int, int]
    num_heads: int
    init_cfg: Any
    ledger: Ledger | None

    @property
    def with_cls_token(self) -> bool: ...  # noqa: D102

    @property
    def with_final_norm(self) -> bool: ...  # noqa: D102

    def state_dict(self) -> dict[str, Tensor]: ...  # noqa: D102

    def load_state_dict(self, state_dict: Mapping[str, Tensor], strict: bool = True) -> Any: ...  # noqa: D102


def fit_weights(
    backbone: Backbone, weights: EncoderWeights, config: Mapping[str, Any], ledger: Ledger
) -> dict[str, Tensor]:
    """Match tensors to the backbone's by name and shape; the ledger says how it went.

    Args:
        backbone: stays as it is.
        weights: of the encoder.
        config: of ``told_config``.
        ledger: is filled.

    Returns:
        A full state dict; only of use when the ledger holds no problems.
    """
    own = backbone.state_dict()
    offered = dict(weights.tensors)
    told = told_grid(weights.tensors, config)
    _check_cls_token(backbone, offered, ledger)
    _drop_class_attention(backbone, offered, ledger)
    _check_depth(backbone, offered, ledger)
    _drop_unbuilt(backbone, offered, ledger)
    fitted: dict[str, Tensor] = {}
    for name, mine in own.items():
        value = offered.pop(name, None)
        if value is None:
            base = (config.get("backbone") or {}).get("rotary_base", weights.source.rotary_base)
            _settle_missing(backbone, name, base, ledger)
            value = mine
        elif name == "pos_embed" and value.ndim == 3 and value.shape[-1] == mine.shape[-1]:
            value = _fitted_position(backbone, value, mine, told, ledger)
        elif name.endswith(".rel_pos.table") and value.shape[1:] == mine.shape[1:]:
            value = _fitted_offsets(backbone, name, value, mine, told, ledger)
        elif value.shape == mine.shape:
            ledger.used.append(name)
        else:
            ledger.problems.append(
                f"{name} has shape {tuple(value.shape)}, the backbone needs {tuple(mine.shape)}; "
                "set arch, patch_size and swiglu to those of the checkpoint"
            )
            value = mine
        fitted[name] = value.to(mine.dtype)
        if not fitted[name].isfinite().all():
            ledger.problems.append(
                f"{name} holds values that are not finite; the run that wrote it has diverged, "
                "take an earlier checkpoint"
            )
    for name, value in offered.items():
        ledger.problems.append(
            f"{name} {tuple(value.shape)} is in the checkpoint and has no place in the backbone; "
            f"{_remedy_for(name, value)}"
        )
    return fitted


def _check_cls_token(backbone: Backbone, offered: dict[str, Tensor], ledger: Ledger) -> None:
    if backbone.with_cls_token and "cls_token" not in offered:
        ledger.problems.append(
            "the checkpoint has no cls token in its patch encoder, as ExtreMA's; set "
            "with_cls_token=False in the backbone"
        )
    if not backbone.with_cls_token and "cls_token" in offered:
        ledger.problems.append(
            "the checkpoint was pretrained with a cls token, as BootMAE's; set "
            "with_cls_token=True in the backbone"
        )
        offered.pop("cls_token")


def _drop_class_attention(backbone: Backbone, offered: dict[str, Tensor], ledger: Ledger) -> None:
    """ExtreMA's pooling, which a patch encoder downstream does without."""
    if backbone.class_attention is not None:
        return
    names = [name for name in offered if name.startswith("class_attention.")]
    for name in names:
        ledger.dropped[name] = "class attention, class_attention=None"
        offered.pop(name)
    if names and backbone.with_final_norm and "norm.weight" in offered:
        ledger.notes.append(
            "the final norm was trained on the class attention's token, and norms patches here; "
            "final_norm=False leaves it out"
        )


def _check_depth(backbone: Backbone, offered: Mapping[str, Tensor], ledger: Ledger) -> None:
    """A shallower checkpoint could fill a cut backbone, with drop path and lr depths off."""
    blocks = [block for name in offered if (block := block_of(name)) is not None]
    depth = max(blocks, default=-1) + 1
    if depth < backbone.num_layers and depth != len(backbone.blocks):
        ledger.problems.append(
            f"the checkpoint has {depth} blocks, arch has {backbone.num_layers}; set num_layers"
        )


def _drop_unbuilt(backbone: Backbone, offered: dict[str, Tensor], ledger: Ledger) -> None:
    """Blocks behind the last out index and an unused final norm: dropped, and said."""
    for name in list(offered):
        block = block_of(name)
        if block is not None:
            if len(backbone.blocks) <= block < backbone.num_layers:
                ledger.dropped[name] = f"behind the last out index {backbone.out_indices[-1]}"
                offered.pop(name)
        elif name.startswith("norm.") and not backbone.with_final_norm:
            ledger.dropped[name] = "final_norm=False"
            offered.pop(name)


def _settle_missing(
    backbone: Backbone, name: str, rotary_base: float | None, ledger: Ledger
) -> None:
    """A tensor that the checkpoint lacks: harmless when fresh, or a problem.

    Args:
        backbone: has it.
        name: its own.
        rotary_base: of the checkpoint's rotary positions; None for none.
        ledger: is told.
    """
    if name == "rotary.periods" and backbone.rotary_base == rotary_base:
        ledger.fresh[name] = f"periods of rotary positions, of base {backbone.rotary_base:g}"
    elif name.endswith(".rel_pos.table"):
        ledger.fresh[name] = "relative position table, zero"
    elif name.endswith(FRESH_ENDINGS) and backbone.layer_scale_init == 1:
        ledger.fresh[name] = "layer scale, one"
    elif name.endswith(FRESH_ENDINGS):
        ledger.problems.append(
            f"{name} would start at {backbone.layer_scale_init} on blocks that were pretrained "
            "without layer scale and shrink them; set layer_scale_init=None or 1.0"
        )
    elif name == "cls_token":
        pass  # said by _check_cls_token
    elif name.startswith("class_attention."):
        ledger.problems.append(
            f"{name} is not in the checkpoint, which has no class attention of this size; set "
            "class_attention to that of the pretraining, or to None and out_type='avg'"
        )
    elif name == "rotary.periods":
        ledger.problems.append(
            f"{name} is not in the checkpoint; set rotary_base={rotary_base}, as it was pretrained"
        )
    else:
        ledger.problems.append(f"{name} is not in the checkpoint{_remedy_for_missing(name)}")


def _fitted_position(
    backbone: Backbone, table: Tensor, own: Tensor, told: Grid | None, ledger: Ledger
) -> Tensor:
    prefix = int(backbone.with_cls_token)
    source = table_grid(table, prefix, told, backbone.grid_size)
    if source is None:
        ledger.problems.append(
            f"pos_embed has {table.shape[1]} rows, which is no square grid with "
            f"{prefix} prefix rows; set img_size and with_cls_token to those of the "
            "pretraining"
        )
        return own
    if source == backbone.grid_size:
        ledger.used.append("pos_embed")
        return table
    sizes = [" x ".join(map(str, grid)) for grid in (source, backbone.grid_size)]
    ledger.resized["pos_embed"] = " -> ".join(sizes)
    return resize_position(table, source, backbone.grid_size, prefix, backbone.pos_resize)


def _remedy_for(name: str, value: Tensor) -> str:
    if name == "register_tokens":
        return f"set num_registers={value.shape[1]}"
    if name == "rotary.periods":
        return "set rotary_base=100 and pos_embed_layout=None"
    if name == "pos_embed":
        return "set pos_embed_layout"
    if ".ls" in name:
        return "set layer_scale_init"
    if ".rel_pos" in name:
        return "set rel_pos_bias=True"
    if name.startswith("class_attention."):
        return "set class_attention=dict(num_layers=...) to that of the checkpoint"
    if name.endswith(".attn.qkv.bias"):
        return "set qkv_bias=True"
    if block_of(name) is not None:
        return "set arch to the depth of the checkpoint"
    return "it was pretrained with another model"


def _remedy_for_missing(name: str) -> str:
    for ending, setting in _WITHOUT.items():
        if name.endswith(ending):
            return f"; set {setting}"
    return ""


def _fitted_offsets(
    backbone: Backbone,
    name: str,
    table: Tensor,
    own: Tensor,
    told: Grid | None,
    ledger: Ledger,
) -> Tensor:
    """Relative positions for another grid, as BEiT's authors and timm interpolate them."""
    source = offsets_grid(table, told)
    # many grids have as many offsets, so that the shape alone makes no difference
    if table.shape == own.shape and source in (None, backbone.grid_size):
        ledger.used.append(name)
        return table
    if source is None or source[0] != source[1]:
        ledger.problems.append(
            f"{name} has {table.shape[0]} offsets, which are those of no square grid; set img_size "
            "to that of the pretraining"
        )
        return own
    ledger.resized[name] = f"{table.shape[0]} -> {own.shape[0]} offsets"
    return resize_rel_pos_bias_table(table.float(), backbone.grid_size, tuple(own.shape))
