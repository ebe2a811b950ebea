"""Skip steps whose loss or gradient is not finite, count them, and stop after too many."""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_reduce, barrier
from mmengine.hooks import Hook
from mmengine.optim import AmpOptimWrapper, ApexOptimWrapper, OptimWrapperDict
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

from ...checkpoints.errors import DiskFullError
from ...errors import MaskSSLError
from ..hooks.momentum import unwrapped
from .guard import StepGuard, Verdict
from .record import as_number, forward_record, step_record, write_record

COUNT = "train/skipped_steps"
IN_A_ROW = "skipped_steps_in_a_row"


class NonFiniteError(MaskSSLError):
    """Too many steps in a row had a loss or gradient that is not finite."""


@HOOKS.register_module()
class FiniteStepHook(Hook):
    """Make an optimizer step only when loss and gradient are finite on every rank.

    A skipped step leaves weights, optimizer state, teacher and buffers (BatchNorm's statistics
    too) as they were before its first forward and counts as a step of the schedules. Under
    gradient accumulation all forwards of the step go. The gradient norm is logged at each step
    made as ``train/grad_norm``, and the number of skipped steps so far as
    ``train/skipped_steps``; a resumed run counts on.

    After ``max_in_a_row`` skipped steps WORK_DIR/non_finite/step_N.pt gets what
    tools/replay_step.py needs, and the run stops. With several ranks the ones whose loss is not
    finite write, or all if only gradients are not.

    It works on any OptimWrapper without loss scaling. AmpOptimWrapper and ApexOptimWrapper skip
    by themselves and are left alone; so is OptimWrapperDict. That is said when training starts.

    Args:
        max_in_a_row: skipped steps after which the run stops, at least 1. With 1 every batch is
            copied in advance, in case it has to be written.

    Raises:
        MaskSSLError: max_in_a_row is less than 1.
        NonFiniteError: in training, when that many were skipped.
    """

    # Before a forward behind all hooks that seed it, since it notes their random states.
    priority = "VERY_LOW"

    def __init__(self, max_in_a_row: int = 10) -> None:
        if max_in_a_row < 1:
            raise MaskSSLError(f"max_in_a_row={max_in_a_row}: give 1 or more steps")
        self.max_in_a_row = max_in_a_row
        self._guard: StepGuard | None = None
        self._skipped = self._in_a_row = 0
        self._loss_finite = True
        self._buffers: dict[str, Tensor] = {}
        self._forwards: list[dict[str, Any]] = []
        self._step_begins = True

    def before_train(self, runner: Runner) -> None:
        """Put the guard in front of the optimizer and take up the counts of a resumed run."""
        wrapper = runner.optim_wrapper
        if isinstance(wrapper, (AmpOptimWrapper, ApexOptimWrapper, OptimWrapperDict)):
            runner.logger.warning(
                f"FiniteStepHook leaves {type(wrapper).__name__} alone: steps that it skips "
                "are not counted, and no record of them is written"
            )
            return
        hub = runner.message_hub
        self._skipped = int(hub.get_scalar(COUNT).current()) if COUNT in hub.log_scalars else 0
        self._in_a_row = int(hub.runtime_info.get(IN_A_ROW, 0))
        self._step_begins, self._forwards = True, []
        self._guard = StepGuard(wrapper, partial(self._decided, runner))

    def after_train(self, runner: Runner) -> None:
        """Take the guard away."""
        if self._guard is not None:
            self._guard.remove()
            self._guard = None

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Keep the buffers, and the batch if skipping this step would stop the run."""
        if self._guard is None:
            return
        if self._step_begins:
            buffers = unwrapped(runner.model).named_buffers()
            self._buffers = {name: buffer.clone() for name, buffer in buffers}
            self._forwards, self._step_begins = [], False
            self._guard.find_bad = self._in_a_row + 1 >= self.max_in_a_row
        if self._guard.find_bad:
            self._forwards.append(forward_record(runner, data_batch))

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Stop the run after too many skipped steps in a row."""
        if self._guard is None:
            return
        if self._forwards:
            losses = {key: as_number(value) for key, value in (outputs or {}).items()}
            self._forwards[-1]["losses"] = losses
        if self._step_begins and self._in_a_row >= self.max_in_a_row:
            self._stop(runner)

    def _decided(self, runner: Runner, verdict: Verdict) -> None:
        """Log and count; inside the step, so that this step's hooks see the figures."""
        self._step_begins = True
        self._loss_finite = verdict.loss_finite
        self._in_a_row = 0 if verdict.finite else self._in_a_row + 1
        self._skipped += not verdict.finite
        if verdict.finite:
            # the log shows a mean, which one infinite norm would spoil
            runner.message_hub.update_scalar("train/grad_norm", verdict.grad_norm)
        else:
            with torch.no_grad():
                for name, buffer in unwrapped(runner.model).named_buffers():
                    buffer.copy_(self._buffers[name])
            runner.logger.warning(
                f"step {runner.iter + 1} is skipped: gradient norm {verdict.grad_norm}, loss "
                f"{'finite' if verdict.loss_finite else 'not finite'} on this rank; "
                f"{self._in_a_row} in a row (the run stops at {self.max_in_a_row}), "
                f"{self._skipped} in all"
            )
        runner.message_hub.update_scalar(COUNT, self._skipped)
        runner.message_hub.update_info(IN_A_ROW, self._in_a_row)

    def _stop(self, runner: Runner) -> None:
        assert self._guard is not None
        bad = self._guard.bad_gradients
        names = [n for n, p in unwrapped(runner.model).named_parameters() if id(p) in bad]
        record = step_record(runner, self._forwards, names)
        where = self._write(runner, record)
        barrier()  # a launcher ends the other ranks once one has left
        self.after_train(runner)
        weights = record["bad_weights"]
        damaged = f"; {len(weights)} weights are not finite, {weights[0]} first" if weights else ""
        raise NonFiniteError(
            f"{self._in_a_row} steps in a row had a loss or gradient that is not finite, step "
            f"{record['step']} was the last; weights are those from before them and the "
            f"checkpoints in {runner.work_dir} are kept{damaged}. {where}"
        )

    def _write(self, runner: Runner, record: dict[str, Any]) -> str:
        """Write this rank's record if it is one to look at, and say how to go on."""
        guilty = torch.tensor(0.0 if self._loss_finite else 1.0)
        anyone = guilty.clone()
        all_reduce(anyone, "max")
        if anyone > guilty:
            return "The ranks whose loss is not finite have written the batch"
        dropped = sorted({name for forward in self._forwards for name in forward["dropped"]})
        if dropped:
            runner.logger.warning(f"left out of the record, replaced by None: {dropped}")
        try:
            path = write_record(record, Path(runner.work_dir, "non_finite"))
        except (DiskFullError, OSError) as error:
            return f"The record of the step could not be written: {error}"
        return f"See where it arises: python tools/replay_step.py {path}"
