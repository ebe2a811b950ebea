"""From a source's names to PlainViT's and back: its pairs, and what parts are joined to."""

import math
import re
from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import Tensor

from .grids import Grid

Names = tuple[tuple[str, str], ...]
NUMBERS = re.compile(r"\\\{([ic])\\\}")


def our_name(theirs: str, names: Names) -> str:
    """A tensor's name after the first pair that its start fits; itself where none does."""
    for pattern, replacement in _compiled(names):
        match = pattern.match(theirs)
        if match:
            return replacement.format(**match.groupdict()) + theirs[match.end() :]
    return theirs


def inverse(names: Names) -> Names:
    """Pairs that lead back; of several with one meaning the first is taken."""
    return tuple((ours, theirs) for theirs, ours in names)


@lru_cache(maxsize=64)
def _compiled(names: Names) -> list[tuple[re.Pattern[str], str]]:
    """A pair as a pattern; one that ends in no dot names a whole tensor."""

    def pattern(text: str) -> re.Pattern[str]:
        numbered = NUMBERS.sub(r"(?P<\1>[0-9]+)", re.escape(text))
        return re.compile(numbered if text.endswith(".") else numbered + "$")

    return [(pattern(theirs), ours) for theirs, ours in names]


Made = dict[str, tuple[str, ...]]
Whole = dict[str, tuple[tuple[str, ...], Tensor]]  # name -> names of its parts, and the value


def joined(
    tensors: Mapping[str, Tensor], patches_alone: bool = False, told: Grid | None = None
) -> tuple[dict[str, Tensor], Made]:
    """Parts that a source keeps apart, as the one tensor that PlainViT has.

    q, k and v are one qkv, of whose bias the k part is zero where there is none: softmax ignores
    it. gate and up are one fc1; up alone is fc1. Of a bias with a mask the k part is zero. A table
    of relative positions that the blocks share is given to each.

    Args:
        tensors: under PlainViT's names, parts as 'attn.q.', 'mlp.gate.', 'rel_pos.table' ….
        patches_alone: a square position table has no row for the cls token, and gets zeros.
        told: grid of the patches by the file's config: 9 rows may be 3 x 3, or 2 x 4 and cls.

    Returns:
        The tensors, and of each that was made of others the names of those.
    """
    found, made = dict(tensors), Made()
    blocks = {".".join(name.split(".")[:2]) for name in tensors if name.startswith("blocks.")}
    for name in tensors:
        whole: Whole = {}
        if name == "rel_pos.table":
            whole = {f"{block}.{name}": ((name,), tensors[name]) for block in sorted(blocks)}
        elif name == "pos_embed" and patches_alone and "cls_token" in tensors:
            whole = _with_cls_row(tensors[name], told)
        elif name.startswith("blocks."):  # class attention keeps its q, k and v apart
            whole = _whole(name, tensors)
        for target, (parts, value) in whole.items():
            for part in parts:
                found.pop(part, None)
            made[target], found[target] = parts, value
    return found, made


def _whole(name: str, tensors: Mapping[str, Tensor]) -> Whole:
    """What the part ``name``, the first of its kind, is joined to; nothing for other names."""
    if ".attn.q." in name:
        parts = [name.replace(".attn.q.", f".attn.{part}.") for part in "qkv"]
        values = [tensors.get(part) for part in parts]
        if name.endswith(".bias") and values[1] is None:
            values[1] = torch.zeros_like(tensors[name])
        held = [value for value in values if value is not None]
        if len(held) < 3:
            return {}  # and the parts, which have no place, refuse the load
        there = tuple(part for part in parts if part in tensors)
        return {name.replace(".q.", ".qkv."): (there, torch.cat(held))}
    if ".mlp.up." in name:
        gate = name.replace(".up.", ".gate.")
        there = (gate, name) if gate in tensors else (name,)
        value = torch.cat([tensors[part] for part in there])
        return {name.replace(".up.", ".fc1."): (there, value)}
    if name.endswith(".bias_mask") and name.removesuffix("_mask") in tensors:
        bias = name.removesuffix("_mask")
        q_bias, k_bias, v_bias = tensors[bias].chunk(3)
        return {bias: ((bias, name), torch.cat([q_bias, torch.zeros_like(k_bias), v_bias]))}
    return {}


def _with_cls_row(table: Tensor, told: Grid | None) -> Whole:
    if table.ndim != 3 or math.isqrt(table.shape[1]) ** 2 != table.shape[1]:
        return {}
    if told and math.prod(told) + 1 == table.shape[1]:
        return {}
    return {
        "pos_embed": (("pos_embed",), torch.cat([torch.zeros_like(table[:, :1]), table], dim=1))
    }


def without(names: Names, *parts: str) -> Names:
    """Pairs but those in whose name of either side a part stands."""
    return tuple(pair for pair in names if not any(part in side for part in parts for side in pair))


def written(tensors: Mapping[str, Tensor], names: Names) -> dict[str, Tensor]:
    """PlainViT's tensors under a source's names: ``our_name`` and ``joined`` backwards.

    A k bias is left out where the source has none; it changes nothing.

    Args:
        tensors: of a PlainViT.
        names: of the source.
    """
    ours = {target for _, target in names}
    split: dict[str, Tensor] = {}
    for name, value in tensors.items():
        kind = name.rsplit(".", 1)[-1]
        whole = "blocks.{i}.attn.q." in ours
        if ".attn.qkv." in name and (whole or f"blocks.{{i}}.attn.q.{kind}" in ours):
            kept = [part for part in "qkv" if whole or f"blocks.{{i}}.attn.{part}.{kind}" in ours]
            chunks = dict(zip("qkv", value.chunk(3), strict=True))
            split |= {name.replace(".qkv.", f".{part}."): chunks[part] for part in kept}
        elif ".mlp.fc1." in name and "blocks.{i}.mlp.gate." in ours:
            parts = zip(("gate", "up"), value.chunk(2), strict=True)
            split |= {name.replace(".fc1.", f".{part}."): chunk for part, chunk in parts}
        else:
            split[name] = value
    back = inverse(names)
    return {our_name(name, back): value.contiguous() for name, value in split.items()}
