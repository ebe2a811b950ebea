"""Whose checkpoint is it, and its encoder under PlainViT's names; recognised by content alone."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ...checkpoints.errors import CheckpointError
from ...checkpoints.reading import CONTAINERS
from .grids import told_grid
from .naming import Made, joined, our_name
from .source import ANY, Source
from .sources import SOURCES


@dataclass
class EncoderWeights:
    """Encoder tensors under PlainViT's names.

    Attributes:
        source: whose they are.
        branch: 'student' or 'teacher'.
        tensors: by PlainViT's parameter name.
        dropped: their name -> reason, of tensors below the prefix.
        outside: their name -> reason, of those elsewhere in the same container.
        parts: PlainViT's name -> their names, of each tensor.
    """

    source: Source
    branch: str
    tensors: dict[str, Tensor]
    dropped: dict[str, str] = field(default_factory=dict)
    outside: dict[str, str] = field(default_factory=dict)
    parts: Made = field(default_factory=dict)


@dataclass(frozen=True)
class _Found:
    container: str
    below: dict[str, Tensor]
    outside: tuple[str, ...]


def block_of(name: str) -> int | None:
    """Number of the block that a tensor of an encoder belongs to; None if to none."""
    found = re.match(r"blocks\.(\d+)\.", name)
    return int(found[1]) if found else None


def identify(content: Mapping[str, Any]) -> Source:
    """Recognise a checkpoint.

    Raises:
        CheckpointError: no source matches.
    """
    groups = _containers(content)
    for source in SOURCES:
        if any(
            _fits(found.below, source)
            for branch in source.places
            for found in _at(groups, source, branch)
        ):
            return source
    sample = ", ".join(list(map(str, content))[:5])
    raise CheckpointError(
        f"no ViT encoder is recognised in this checkpoint (it holds {sample}…); known are "
        f"{', '.join(source.name for source in SOURCES)}"
    )


def encoder_weights(
    content: Mapping[str, Any], branch: str | None = None, config: Mapping[str, Any] | None = None
) -> EncoderWeights:
    """Take one branch's encoder out of a checkpoint, under PlainViT's names.

    Args:
        content: as ``read_checkpoint`` returns it.
        branch: 'student' or 'teacher'; None for the one that its authors evaluate.
        config: of ``told_config``.

    Raises:
        CheckpointError: unknown source, or the branch is not in the file.
    """
    source, groups = identify(content), _containers(content)
    held = {name: found for name in source.places for found in _at(groups, source, name)[:1]}
    branch = next(iter(held)) if branch is None else branch
    if branch not in held:
        raise CheckpointError(
            f"this {source.name} checkpoint holds no {branch}; use branch="
            + " or ".join(map(repr, held))
        )
    weights = EncoderWeights(source, branch, {})
    origins: Made = {}
    for theirs, value in held[branch].below.items():
        reason = next((why for what, why in source.drops.items() if re.match(what, theirs)), None)
        if reason:
            weights.dropped[theirs] = reason
            continue
        ours = our_name(theirs, source.names)
        if ours in weights.tensors:
            raise CheckpointError(
                f"this {source.name} checkpoint holds {ours} twice, as {origins[ours][0]} and "
                f"{theirs}; remove one"
            )
        weights.tensors[ours], origins[ours] = value, (theirs,)
    grid = told_grid(weights.tensors, config or {})
    weights.tensors, made = joined(weights.tensors, source.patches_alone, grid)
    weights.parts = {
        name: tuple(origin for part in made.get(name, (name,)) for origin in origins[part])
        for name in weights.tensors
    }
    prefixes = {place.prefix: name for name, places in source.places.items() for place in places}
    for key in held[branch].outside:
        other = next(
            (name for start, name in prefixes.items() if start and key.startswith(start)), ""
        )
        weights.outside[key] = f"of the {other}" if other else "outside the encoder"
    for name, tensors in groups.items():
        if tensors and name != held[branch].container:
            more = f"{name or 'the file itself'}: {len(tensors)} tensors"
            weights.outside[more] = "another entry of the file"
    return weights


def _fits(below: Mapping[str, Tensor], source: Source) -> bool:
    def any_key(pattern: str) -> bool:
        return any(re.match(pattern, key) for key in below)

    return all(map(any_key, source.marks)) and not any(map(any_key, source.never))


def _at(groups: Mapping[str, dict[str, Tensor]], source: Source, branch: str) -> list[_Found]:
    """Where in the file a branch of a source may lie: places that show its first mark."""
    found = []
    for place in source.places[branch]:
        for container, tensors in groups.items():
            usual = place.container == ANY and container in (*CONTAINERS, "")
            if not usual and place.container != container:
                continue
            start = len(place.prefix)
            below = {k[start:]: v for k, v in tensors.items() if k.startswith(place.prefix)}
            if any(re.match(source.marks[0], key) for key in below):
                outside = tuple(key for key in tensors if not key.startswith(place.prefix))
                found.append(_Found(container, below, outside))
    return found


def _containers(content: Mapping[str, Any]) -> dict[str, dict[str, Tensor]]:
    """The tensors of each entry that holds some, likeliest first; '' for a bare file."""
    names = [*CONTAINERS, *(str(key) for key in content if key not in CONTAINERS)]
    groups = {name: content[name] for name in names if isinstance(content.get(name), Mapping)}
    groups[""] = content
    return {name: _unwrapped(_tensors(group)) for name, group in groups.items()}


def _tensors(group: Mapping[Any, Any]) -> dict[str, Tensor]:
    return {
        key: value
        for key, value in group.items()
        if isinstance(key, str) and isinstance(value, Tensor)
    }


def _unwrapped(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the 'module.' that DistributedDataParallel puts before every key."""
    if tensors and all(key.startswith("module.") for key in tensors):
        return {key.removeprefix("module."): value for key, value in tensors.items()}
    return dict(tensors)
