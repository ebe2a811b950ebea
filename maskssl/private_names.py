"""All that the package takes from mmengine and Python without their promise to keep it.

Each function stands for one name that begins with an underscore and has no public counterpart;
tests/test_private_names.py tries them all and names the release that broke one.
"""

import atexit
from typing import Any


def accumulative_counts(wrapper: Any) -> int:
    """Backward passes for each optimizer step, of an mmengine OptimWrapper."""
    return wrapper._accumulative_counts


def run_exit_functions() -> None:
    """Run what atexit has registered, now; it is not run again at the exit."""
    atexit._run_exitfuncs()
