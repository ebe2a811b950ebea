"""Let idle threads of OpenMP sleep, so that several commands can share a machine's cores."""

import os
import sys

# GNU's OpenMP, which PyPI's torch ships, knows the first; Intel's the second too
SETTINGS = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}


def wait_passively() -> bool:
    """Ask torch's OpenMP, before it is loaded, not to spin where threads wait for one another.

    Spinning saves microseconds while a process has the cores to itself. With two of them each
    thread that waits keeps a core from the thread that it waits for. What the user has set stays;
    loader processes and commands that are started inherit it. The library reads its environment
    once, as it is loaded, so the first thing that a command does is to call this.

    Returns:
        Whether it is in time: torch is not imported yet.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    return "torch" not in sys.modules
