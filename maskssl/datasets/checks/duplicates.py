"""Files of equal content in two sets: pictures that are trained on and tested."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence

_CHUNK = 1 << 20


def duplicates(trained: Iterable[str], tested: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of files with the same bytes, one from each set.

    Sizes are compared first, so that only files of equal size are read.

    Args:
        trained: files; each is looked up once.
        tested: files that should be none of them.

    Returns:
        (trained, tested), in the order of the tested ones.
    """
    by_size: dict[int, list[str]] = defaultdict(list)
    for path in tested:
        by_size[os.path.getsize(path)].append(path)
    candidates: dict[str, str] = {}
    wanted: dict[int, dict[bytes, list[str]]] = {}
    for path in trained:
        size = os.path.getsize(path)
        if size not in by_size:
            continue
        if size not in wanted:
            wanted[size] = defaultdict(list)
            for other in by_size[size]:
                wanted[size][_digest(other)].append(other)
        for other in wanted[size].get(_digest(path), ()):
            candidates.setdefault(other, path)
    return [(candidates[path], path) for path in tested if path in candidates]


def _digest(path: str) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.digest()
