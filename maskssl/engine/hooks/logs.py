"""Logs and pictures: what a full disk does not take is left out, and training goes on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.hooks import LoggerHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ...checkpoints.hidden_files import is_full


class LeftOut:
    """Around writes that a run can do without; the first that finds no space is told.

    Args:
        what: is written, for the warning.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self._told = False

    @contextmanager
    def where_full(self, runner: Runner) -> Iterator[None]:
        """Leave out what the disk has no space for; any other error is raised."""
        try:
            yield
        except OSError as error:
            if not is_full(error):
                raise
            if not self._told:
                runner.logger.warning(
                    f"{self.what} are not all written, for want of disk space ({error}). Training "
                    f"goes on; free some in {runner.work_dir}. This is said once"
                )
            self._told = True


@HOOKS.register_module()
class SafeLoggerHook(LoggerHook):
    """mmengine's LoggerHook, whose curves a full disk may cut but not the run.

    Backends of the visualizer write them (scalars.json, TensorBoard's events); lines of the log
    itself never stop a run. TensorBoard's writer stays broken until the run is started again.

    Args:
        *args: of LoggerHook.
        **kwargs: likewise.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._left_out = LeftOut("the curves of this run (vis_backends of the visualizer)")

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Log the iteration."""
        with self._left_out.where_full(runner):
            super().after_train_iter(runner, *args, **kwargs)

    def after_val_epoch(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Log the validation."""
        with self._left_out.where_full(runner):
            super().after_val_epoch(runner, *args, **kwargs)

    def after_run(self, runner: Runner) -> None:
        """Close the backends, which write what they still hold."""
        with self._left_out.where_full(runner):
            super().after_run(runner)
