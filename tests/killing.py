"""Processes that die in the middle of something."""

import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from types import FrameType, ModuleType
from typing import Any


def killed_after(lines: int, action: Callable[[], Any], modules: Iterable[ModuleType]) -> bool:
    """Run an action in a child that is killed once it has run so many lines of some modules.

    SIGKILL comes before the next line is run, so that counting up visits every moment
    between two lines, in threads too. A line of a loop is counted twice at most.

    Args:
        lines: of the modules' files, counted as they are run.
        action: returns before pytest would notice that it was forked.
        modules: where lines are counted.

    Returns:
        False when the action ended first.
    """
    files = {module.__file__ for module in modules}
    left = lines
    visits: Counter[tuple[Any, int]] = Counter()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in files:
            return None
        if event == "line":
            visits[frame.f_code, frame.f_lineno] += 1
            left -= visits[frame.f_code, frame.f_lineno] <= 2
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    child = os.fork()
    if child == 0:
        try:
            threading.settrace(trace)  # of threads to come
            sys.settrace(trace)
            action()
            os._exit(0)
        finally:  # an exception must not reach pytest a second time
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0, "the action failed in the child"
    return False
