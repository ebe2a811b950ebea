"""Run a script where mmcv's ops, mmseg, mmdet and pycocotools cannot be imported.

python -m tests.blocked_imports tools/train.py CONFIG --work-dir DIR
python -m tests.blocked_imports -c 'import maskssl'
"""

import importlib.abc
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

BLOCKED = ("mmcv._ext", "mmseg", "mmdet", "pycocotools")


class Blocker(importlib.abc.MetaPathFinder):
    """Stands before all other finders and refuses some modules."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        """Raise for a blocked module; None sends Python on to the next finder."""
        if fullname in self.names:  # what lies below is reached through it alone
            raise ModuleNotFoundError(f"No module named {fullname!r} (blocked)", name=fullname)


def block(names: Sequence[str] = BLOCKED) -> None:
    """Make modules impossible to import in this process.

    Raises:
        RuntimeError: one of them has been imported already.
    """
    early = [name for name in names if name in sys.modules]
    if early:
        raise RuntimeError(f"{', '.join(early)} was imported before it could be blocked")
    sys.meta_path.insert(0, Blocker(names))


def main(argv: Sequence[str]) -> None:
    """Block, then run as ``python ARGV`` would."""
    block()
    if argv[0] == "-c":
        sys.argv = ["-c", *argv[2:]]
        exec(compile(argv[1], "<string>", "exec"), {"__name__": "__main__"})
        return
    sys.argv = list(argv)
    sys.path.insert(0, str(Path(argv[0]).resolve().parent))
    runpy.run_path(argv[0], run_name="__main__")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
