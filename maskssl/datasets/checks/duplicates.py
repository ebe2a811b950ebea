"""Files of equal content in two sets: pictures that are trained on and tested."""

import filecmp
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence

_TAIL = 4096  # bytes; heads of pictures by one camera are alike, ends are not


def duplicates(trained: Iterable[str], tested: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of files with the same bytes, one from each set.

    Sizes are compared first, then the last bytes, and files whole only where both agree.

    Args:
        trained: files; each is looked up once.
        tested: files that should be none of them.

    Returns:
        (trained, tested), in the order of the tested ones.
    """
    by_size: dict[int, list[str]] = defaultdict(list)
    for path in filter(os.path.exists, tested):
        by_size[os.path.getsize(path)].append(path)
    tails: dict[int, dict[bytes, list[str]]] = {}
    found: dict[str, str] = {}
    for path in trained:
        try:
            size = os.path.getsize(path)
        except FileNotFoundError:  # training itself says so
            continue
        if size not in by_size:
            continue
        if size not in tails:
            tails[size] = defaultdict(list)
            for other in by_size[size]:
                tails[size][_tail(other)].append(other)
        alike = tails[size].get(_tail(path), ())
        for other in alike:
            if other not in found and filecmp.cmp(path, other, shallow=False):
                found[other] = path
    return [(found[path], path) for path in tested if path in found]


def _tail(path: str) -> bytes:
    with open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
        return file.read()
