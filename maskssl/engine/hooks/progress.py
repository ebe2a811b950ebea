"""A live line on a terminal: where the run is and how long it will take."""

import logging
import os
import time
from datetime import timedelta
from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop, Runner

from ...errors import MaskSSLError
from ...progress import LiveLine


class _ClearFirst(logging.Filter):
    """Erases the live line before a record is written; lets every record pass."""

    def __init__(self, line: LiveLine) -> None:
        super().__init__()
        self.line = line

    def filter(self, record: logging.LogRecord) -> bool:
        self.line.clear()
        return True


@HOOKS.register_module()
class ProgressHook(Hook):
    """Epoch, iteration, percent, loss, images per second and time left, on one line.

    It is drawn on rank 0 alone and only where the log goes to a terminal; in a file or a
    pipe nothing of it is written. Lines of the log appear above it, unharmed. No thread
    draws it, as loader processes are forked meanwhile.

    Args:
        every: least seconds between two drawings.

    Raises:
        MaskSSLError: ``every`` is negative.
    """

    priority = "LOW"  # behind the timer and the log's own line

    def __init__(self, every: float = 0.2) -> None:
        if every < 0:
            raise MaskSSLError(f"every={every}: seconds between two drawings are 0 or more")
        self.every = every
        self._line: LiveLine | None = None
        self._last = 0.0

    def before_run(self, runner: Runner) -> None:
        """Find the terminal that the log is written to, if there is one."""
        handlers = [handler for handler in runner.logger.handlers if _on_terminal(handler)]
        if runner.rank != 0 or not handlers or os.environ.get("TERM") == "dumb":
            return
        self._line = LiveLine(handlers[0].stream)
        self._filter = _ClearFirst(self._line)
        self._handlers = handlers
        for handler in handlers:
            handler.addFilter(self._filter)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Draw the line."""
        self._draw(runner, batch_idx, "train")

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Draw the line."""
        self._draw(runner, batch_idx, "val")

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Draw the line."""
        self._draw(runner, batch_idx, "test")

    def _draw(self, runner: Runner, batch_idx: int, mode: str) -> None:
        if self._line is None or time.monotonic() - self._last < self.every:
            return
        self._last = time.monotonic()
        text = _described(runner, batch_idx, mode)
        if text:
            self._line.draw(text)
        else:
            self._line.clear()

    def before_train_epoch(self, runner: Runner, metrics: dict[str, Any] | None = None) -> None:
        """Make room for what is printed between epochs."""
        self._clear()

    before_val_epoch = before_test_epoch = before_train_epoch
    after_train_epoch = after_val_epoch = after_test_epoch = before_train_epoch

    def after_run(self, runner: Runner) -> None:
        """Leave the terminal as it was."""
        self._clear()
        if self._line is not None:
            for handler in self._handlers:
                handler.removeFilter(self._filter)
            self._line = None

    def _clear(self) -> None:
        if self._line is not None:
            self._line.clear()


def _on_terminal(handler: logging.Handler) -> bool:
    if not isinstance(handler, logging.StreamHandler) or isinstance(handler, logging.FileHandler):
        return False
    return not handler.stream.closed and handler.stream.isatty()


def _described(runner: Runner, batch_idx: int, mode: str) -> str:
    """The text of the line: ``Epoch 2/20 [12/64]  ###.......  34 %  0:01:12 left  ...``.

    Empty when a validation or test has run its last batch: the evaluators print next.
    """
    if mode == "train":
        done, total = runner.iter + 1, runner.max_iters
        place = f"Iter {done}/{total}"
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            length = len(runner.train_dataloader)
            place = f"Epoch {runner.epoch + 1}/{runner.max_epochs} [{batch_idx + 1}/{length}]"
    else:
        loader = runner.val_dataloader if mode == "val" else runner.test_dataloader
        done, total = batch_idx + 1, len(loader)
        if done >= total:
            return ""
        place = f"{dict(val='Validation', test='Test')[mode]} [{done}/{total}]"
    filled = 10 * done // total
    parts = [place, "#" * filled + "." * (10 - filled), f"{100 * done // total:3d} %"]
    return "  ".join([*parts, *_figures(runner, mode)])


def _figures(runner: Runner, mode: str) -> list[str]:
    """What the message hub holds of time left, loss and images per second."""
    hub = runner.message_hub
    parts = []
    if "eta" in hub.runtime_info:
        parts.append(f"{timedelta(seconds=int(hub.runtime_info['eta']))} left")
    for key, shown in (("loss", "loss {:.4f}"), ("img_per_s", "{:.0f} img/s")):
        if f"{mode}/{key}" in hub.log_scalars:
            parts.append(shown.format(hub.log_scalars[f"{mode}/{key}"].current()))
    return parts
