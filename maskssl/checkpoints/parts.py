"""Weights in several files beside an index, as Hugging Face's libraries write large models."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .errors import CheckpointError
from .shards import sha256_of

SUFFIX = ".index.json"


def read_parts(index: Path, read: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """The tensors of all parts, each where the index says, as 'state_dict'.

    Args:
        index: names the file of every tensor, in 'weight_map'.
        read: reads one part.

    Raises:
        CheckpointError: the index or a part is missing or broken, or they do not agree.
    """
    where = _weight_map(index)
    tensors: dict[str, Any] = {}
    for part in parts_of(index):
        if not part.is_file():
            raise CheckpointError(
                f"{part} is missing, a part of {index}; download it too, or copy the whole folder"
            )
        content = read(part)
        held = content.get("state_dict", content)
        named = {name for name, file in where.items() if file == part.name}
        if named != held.keys():
            odd = sorted(map(str, named ^ held.keys()))
            raise CheckpointError(
                f"{part} and {index.name} do not agree on {len(odd)} tensors ({', '.join(odd[:3])}"
                f"{', …' if odd[3:] else ''}); download both again"
            )
        tensors |= held
    return dict(state_dict=tensors)


def parts_of(path: Path) -> list[Path]:
    """The files of which an index speaks, by name; none of a file that is no index."""
    if not path.name.endswith(SUFFIX):
        return []
    return [path.with_name(name) for name in sorted(set(_weight_map(path).values()))]


def sha256_of_all(path: Path) -> str:
    """Of a file; of an index, that of its own SHA-256 and those of its parts, as lines."""
    parts = parts_of(path)
    if not parts:
        return sha256_of(path)
    lines = "".join(f"{sha256_of(file)}\n" for file in (path, *parts))
    return hashlib.sha256(lines.encode()).hexdigest()


def _weight_map(index: Path) -> Mapping[str, str]:
    try:
        where = json.loads(index.read_text())["weight_map"]
        names = set(where.values())
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{index} is no index of weights in parts ({type(error).__name__}: {error}); download "
            "it again"
        ) from error
    for name in names:  # beside the index and nowhere else
        if not isinstance(name, str) or Path(name).name != name:
            raise CheckpointError(
                f"{index} names {name!r} as a part; parts lie beside it, so this is a file name"
            )
    return where
