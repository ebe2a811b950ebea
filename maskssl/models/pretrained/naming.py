"""From a source's names to PlainViT's and back: its pairs, and what parts are joined to."""

import math
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

import torch
from torch import Tensor

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


def joined(
    tensors: Mapping[str, Tensor], patches_alone: bool = False
) -> tuple[dict[str, Tensor], Made]:
    """Parts that a source keeps apart, as the one tensor that PlainViT has.

    q, k and v are one qkv, of whose bias the k part is zero where there is none: softmax ignores
    it. gate and up are one fc1; up alone is fc1. Masked parts of a bias are zero. A table of
    relative positions that the blocks share is given to each.

    Args:
        tensors: under PlainViT's names, parts as 'attn.q.', 'mlp.gate.', 'rel_pos.table' ….
        patches_alone: a square position table has no row for the cls token, and gets zeros.

    Returns:
        The tensors, and of each that was made of others the names of those.
    """
    found, made = dict(tensors), Made()

    def make(target: str, parts: Iterable[str], value: Tensor) -> None:
        made[target] = tuple(parts)
        for part in made[target]:
            found.pop(part, None)
        found[target] = value

    for name in tensors:
        if not name.startswith("blocks."):
            continue  # class attention keeps its q, k and v apart
        if ".attn.q." in name:
            parts = [name.replace(".attn.q.", f".attn.{part}.") for part in "qkv"]
            if name.endswith(".bias") and parts[1] not in tensors:
                values = [tensors[name], torch.zeros_like(tensors[name]), tensors[parts[2]]]
                make(name.replace(".q.", ".qkv."), (parts[0], parts[2]), torch.cat(values))
            elif all(part in tensors for part in parts):
                values = [tensors[part] for part in parts]
                make(name.replace(".q.", ".qkv."), parts, torch.cat(values))
        elif ".mlp.up." in name:
            gate = name.replace(".up.", ".gate.")
            parts = [gate, name] if gate in tensors else [name]
            make(name.replace(".up.", ".fc1."), parts, torch.cat([tensors[x] for x in parts]))
        elif name.endswith(".bias_mask"):
            bias = name.removesuffix("_mask")
            masked = tensors[bias] * tensors[name].nan_to_num()
            make(bias, (bias, name), masked)
    if "rel_pos.table" in tensors:
        shared = found.pop("rel_pos.table")
        for stem in {".".join(name.split(".")[:2]) for name in found if name.startswith("blocks.")}:
            make(f"{stem}.rel_pos.table", ("rel_pos.table",), shared)
    if patches_alone and "cls_token" in tensors and "pos_embed" in tensors:
        table = tensors["pos_embed"]
        if table.ndim == 3 and math.isqrt(table.shape[1]) ** 2 == table.shape[1]:
            value = torch.cat([torch.zeros_like(table[:, :1]), table], dim=1)
            make("pos_embed", ("pos_embed",), value)
    return found, made


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
