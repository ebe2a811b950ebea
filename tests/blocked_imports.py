"""Run a script where mmcv's ops, mmseg, mmdet and pycocotools cannot be imported.

python -m tests.blocked_imports tools/train.py CONFIG --work-dir DIR
python -m tests.blocked_imports -c 'import maskssl'
"""

import runpy
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

BLOCKED = ("mmcv._ext", "mmseg", "mmdet", "pycocotools")


class Without:
    """A finder of modules that does not see some of them, as if they were not installed."""

    def __init__(self, finder: Any, names: Sequence[str]) -> None:
        self.finder = finder
        self.names = tuple(names)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """None for a blocked module; what lies below it is reached through it alone."""
        return None if fullname in self.names else self.finder.find_spec(fullname, path, target)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.finder, name)


def block(names: Sequence[str] = BLOCKED) -> None:
    """Make modules impossible to import, and to find, in this process.

    Raises:
        RuntimeError: one of them has been imported already.
    """
    early = [name for name in names if name in sys.modules]
    if early:
        raise RuntimeError(f"{', '.join(early)} was imported before it could be blocked")
    sys.meta_path[:] = [Without(finder, names) for finder in sys.meta_path]


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
