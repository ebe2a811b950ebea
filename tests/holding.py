"""A folder that another process writes into."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from maskssl.occupied import occupied


@contextmanager
def held_elsewhere(folder: Path) -> Iterator[int]:
    """Number of the process, which is killed in the end."""
    told, stay = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        with occupied(folder):
            os.write(told[1], b"x")
            os.read(stay[0], 1)
        os._exit(0)
    assert os.read(told[0], 1) == b"x"
    try:
        yield child
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        for descriptor in (*told, *stay):
            os.close(descriptor)
