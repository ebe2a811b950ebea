"""Pretrained weights into a PlainViT: everything is used, said, or refused."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from ...checkpoints.errors import CheckpointError
from ...checkpoints.reading import read_checkpoint
from ...errors import MaskSSLError
from ..layers.position import Layout, resize_position, sincos_position
from .sources import EncoderWeights, encoder_weights

# Absent from most checkpoints, and without effect as long as they are fresh.
FRESH_ENDINGS = (".ls1.gamma", ".ls2.gamma", ".rel_pos.table")


class Backbone(Protocol):
    """What a plain ViT says of itself; PlainViT is one.

    Attributes:
        num_layers: blocks of the architecture, of which ``blocks`` are built.
        with_cls_token: its sequence starts with a cls token.
        class_attention: pooling on top of the blocks, or None.
        with_final_norm: the last output is normalised.
        layer_scale_init: first value of a learnt scale; None for none.
        out_indices: blocks whose output is returned.
        pos_embed: position table (1, num_prefix + h * w, C), made for ``grid_size`` (h, w) in
            ``pos_embed_layout``.
        init_cfg: what to start from.
    """

    num_layers: int
    blocks: nn.ModuleList
    class_attention: nn.Module | None
    layer_scale_init: float | None
    out_indices: tuple[int, ...]
    pos_embed: Tensor
    pos_embed_layout: Layout
    grid_size: tuple[int, int]
    init_cfg: Any

    @property
    def with_cls_token(self) -> bool: ...  # noqa: D102

    @property
    def with_final_norm(self) -> bool: ...  # noqa: D102

    @property
    def num_prefix(self) -> int: ...  # noqa: D102

    def state_dict(self) -> dict[str, Tensor]: ...  # noqa: D102

    def load_state_dict(self, state_dict: Mapping[str, Tensor], strict: bool = True) -> Any: ...  # noqa: D102


@dataclass
class Ledger:
    """What became of every tensor of a load.

    Attributes:
        origin: file, source and branch, in words.
        used: names loaded as they are.
        resized: name -> how.
        dropped: name -> why.
        fresh: name -> why the model's own value may stay.
        problems: sentences; any of them refuses the load.
    """

    origin: str
    used: list[str] = field(default_factory=list)
    resized: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    fresh: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"loaded {len(self.used) + len(self.resized)} tensors from {self.origin}"]
        lines += [f"  resized {name}: {how}" for name, how in self.resized.items()]
        lines += [f"  fresh {len(names)} x {why}" for why, names in _grouped(self.fresh).items()]
        for why, names in _grouped(self.dropped).items():
            lines.append(f"  dropped {len(names)} ({why}): {', '.join(_shortened(names))}")
        return "\n".join(lines)


def load_pretrained(backbone: Backbone, checkpoint: str | Path, branch: str = "student") -> Ledger:
    """Load an encoder from any known checkpoint, completely or not at all.

    Args:
        backbone: changed in place, and only when everything fits.
        checkpoint: file of maskssl, the BootMAE release, or a plain ViT.
        branch: 'student' or 'teacher'.

    Returns:
        The ledger, which is also logged.

    Raises:
        CheckpointError: an encoder tensor is missing, unexpected, or of a shape that
            cannot be resized; the message lists all of them.
    """
    return load_weights(backbone, encoder_weights(read_checkpoint(checkpoint), branch), checkpoint)


def load_weights(backbone: Backbone, weights: EncoderWeights, origin: str | Path) -> Ledger:
    """As ``load_pretrained``, of weights that were read already from a file ``origin``.

    Raises:
        CheckpointError: as there.
    """
    named = f"{origin} ({weights.source}, {weights.branch})"
    ledger = Ledger(named, dropped=dict(weights.dropped))
    fitted = fit_weights(backbone, weights.tensors, ledger)
    if ledger.problems:
        raise CheckpointError(
            f"{ledger.origin} does not fit this backbone, and nothing was loaded:\n  "
            + "\n  ".join(ledger.problems[:20])
            + (f"\n  … and {len(ledger.problems) - 20} more" if len(ledger.problems) > 20 else "")
        )
    backbone.load_state_dict(fitted, strict=True)
    print_log(str(ledger), logger="current")
    return ledger


def fit_weights(
    backbone: Backbone, tensors: Mapping[str, Tensor], ledger: Ledger
) -> dict[str, Tensor]:
    """Match tensors to the backbone's by name and shape; the ledger says how it went.

    Returns:
        A full state dict; only of use when the ledger holds no problems.
    """
    own = backbone.state_dict()
    offered = dict(tensors)
    _check_cls_token(backbone, offered, ledger)
    _drop_class_attention(backbone, offered, ledger)
    _check_depth(backbone, offered, ledger)
    _drop_unbuilt(backbone, offered, ledger)
    fitted: dict[str, Tensor] = {}
    for name, mine in own.items():
        value = offered.pop(name, None)
        if value is None:
            _settle_missing(backbone, name, ledger)
            value = mine
        elif name == "pos_embed" and value.shape[-1] == mine.shape[-1]:
            value = _fitted_position(backbone, value, ledger)
        elif value.shape == mine.shape:
            ledger.used.append(name)
        else:
            ledger.problems.append(
                f"{name} has shape {tuple(value.shape)}, the backbone needs {tuple(mine.shape)}; "
                "set arch and patch_size to those of the checkpoint"
            )
            value = mine
        fitted[name] = value.to(mine.dtype)
    for name, value in offered.items():
        ledger.problems.append(
            f"{name} {tuple(value.shape)} is in the checkpoint and has no place in the backbone; "
            f"{_remedy_for(name)}"
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
    for name in [name for name in offered if name.startswith("class_attention.")]:
        ledger.dropped[name] = "class attention, class_attention=None"
        offered.pop(name)


def _check_depth(backbone: Backbone, offered: Mapping[str, Tensor], ledger: Ledger) -> None:
    """A shallower checkpoint could fill a cut backbone, with drop path and lr depths off."""
    blocks = {int(name.split(".")[1]) for name in offered if name.startswith("blocks.")}
    depth = max(blocks, default=-1) + 1
    if depth < backbone.num_layers and depth != len(backbone.blocks):
        ledger.problems.append(
            f"the checkpoint has {depth} blocks, arch has {backbone.num_layers}; set num_layers"
        )


def _drop_unbuilt(backbone: Backbone, offered: dict[str, Tensor], ledger: Ledger) -> None:
    """Blocks behind the last out index and an unused final norm: dropped, and said."""
    for name in list(offered):
        if name.startswith("blocks."):
            block = int(name.split(".")[1])
            if len(backbone.blocks) <= block < backbone.num_layers:
                ledger.dropped[name] = f"behind the last out index {backbone.out_indices[-1]}"
                offered.pop(name)
        elif name.startswith("norm.") and not backbone.with_final_norm:
            ledger.dropped[name] = "final_norm=False"
            offered.pop(name)


def _settle_missing(backbone: Backbone, name: str, ledger: Ledger) -> None:
    """A tensor that the checkpoint lacks: harmless when fresh, or a problem."""
    if name.endswith(".rel_pos.table"):
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
    else:
        ledger.problems.append(f"{name} is not in the checkpoint")


def _fitted_position(backbone: Backbone, table: Tensor, ledger: Ledger) -> Tensor:
    source = _source_grid(backbone, table)
    if source is None:
        ledger.problems.append(
            f"pos_embed has {table.shape[1]} rows, which is no square grid with "
            f"{backbone.num_prefix} prefix rows; set img_size and with_cls_token to those of the "
            "pretraining"
        )
        return backbone.pos_embed.detach()
    if source == backbone.grid_size:
        ledger.used.append("pos_embed")
        return table
    sizes = [" x ".join(map(str, grid)) for grid in (source, backbone.grid_size)]
    ledger.resized["pos_embed"] = " -> ".join(sizes)
    return resize_position(table, source, backbone.grid_size, backbone.num_prefix)


def _source_grid(backbone: Backbone, table: Tensor) -> tuple[int, int] | None:
    """The grid (h, w) that a table was made for; None where that cannot be told.

    144 rows may be 12 x 12, 9 x 16 or 16 x 9. A fixed sin-cos table shows which; a trained
    one is taken for a square, or else for the backbone's own.
    """
    patches = table.shape[1] - backbone.num_prefix
    for height in range(1, patches + 1):
        grid = (height, patches // height)
        if grid[0] * grid[1] != patches:
            continue
        fixed = sincos_position(
            grid, table.shape[-1], backbone.pos_embed_layout, backbone.num_prefix
        )
        if torch.allclose(table.float(), fixed, atol=1e-2):  # it may be stored in bf16
            return grid
    side = math.isqrt(max(0, patches))
    if side and side * side == patches:
        return side, side
    height, width = backbone.grid_size
    return backbone.grid_size if height * width == patches else None


def _remedy_for(name: str) -> str:
    if ".ls" in name:
        return "set layer_scale_init"
    if ".rel_pos" in name:
        return "set rel_pos_bias=True"
    if name.startswith("blocks."):
        return "set arch to the depth of the checkpoint"
    return "it was pretrained with another model"


def _grouped(reasons: Mapping[str, str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name, why in reasons.items():
        groups.setdefault(why, []).append(name)
    return groups


def _shortened(names: list[str], limit: int = 6) -> list[str]:
    stems = list(dict.fromkeys(".".join(name.split(".")[:2]) for name in names))
    return stems if len(stems) <= limit else [*stems[:limit], "…"]


@torch.no_grad()
def initialise_backbone(backbone: Backbone) -> None:
    """Act on a backbone's ``init_cfg``: nothing, or Pretrained through the strict loader.

    Raises:
        MaskSSLError: ``init_cfg`` asks for something else.
    """
    cfg = backbone.init_cfg
    if not cfg:
        return
    cfg = dict(cfg[0]) if isinstance(cfg, list) and len(cfg) == 1 else cfg
    known = {"type", "checkpoint", "branch"}
    if not isinstance(cfg, Mapping) or cfg.get("type") != "Pretrained" or not known >= cfg.keys():
        raise MaskSSLError(
            f"init_cfg={cfg} of {type(backbone).__name__} is not understood; use "
            "dict(type='Pretrained', checkpoint=PATH, branch='student' or 'teacher'), or None for "
            "random weights"
        )
    if not cfg.get("checkpoint"):
        raise MaskSSLError(
            "init_cfg names no checkpoint; give one with maskssl train --pretrained PATH, or "
            "--pretrained none for random weights"
        )
    load_pretrained(backbone, cfg["checkpoint"], cfg.get("branch", "student"))
