"""Count the optimizer steps that are left out, and stop after too many in a row."""

from pathlib import Path
from typing import Any

import torch
from mmengine.dist import barrier
from mmengine.hooks import EMAHook, Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

from ...checkpoints.errors import DiskFullError
from ...errors import MaskSSLError
from ...private_names import tensors_of
from ..unwrapping import unwrapped
from .guard import GuardedOptimWrapper, Verdict, guarded

COUNT = "train/skipped_steps"
# keys of the message hub: how many in a row, and the iterations done before the first of them
IN_A_ROW = "skipped_steps_in_a_row"
ROW_BEGINS = "skipped_steps_begin"


class NonFiniteError(MaskSSLError):
    """Too many steps in a row had a loss or gradient that is not finite."""


@HOOKS.register_module()
class FiniteStepHook(Hook):
    """Make an optimizer step only when loss and gradient are finite on every rank.

    The guard around the optimizer wrapper decides (``guarded``); a runner that has not put it
    there gets it here. A skipped step leaves weights, optimizer state, teacher and buffers
    (BatchNorm's statistics too) as they were before its first forward and counts as a step of
    the schedules. Under gradient accumulation all forwards of the step go. The gradient norm is
    logged at each step made as ``train/grad_norm``, and the number of skipped steps so far as
    ``train/skipped_steps``; a resumed run counts on.

    The run stops after ``max_in_a_row`` skipped steps. In front of the last of them it saves
    WORK_DIR/non_finite/iter_N.pth; as skipping changes nothing, that is the state before the
    first of them, too, and ``--resume THAT --debug-step`` looks into any of the row.

    Loss scaling (AmpOptimWrapper): steps with too large a scale are skipped and counted as any
    other, but make no row as long as the scale is above 1 and can fall.

    Args:
        max_in_a_row: skipped steps after which the run stops, at least 2.

    Raises:
        MaskSSLError: max_in_a_row is less than 2.
        NonFiniteError: in training, when that many were skipped.
    """

    # buffers are put back and figures logged before other hooks look at them
    priority = "VERY_HIGH"

    def __init__(self, max_in_a_row: int = 10) -> None:
        if max_in_a_row < 2:
            raise MaskSSLError(f"max_in_a_row={max_in_a_row}: give 2 or more steps")
        self.max_in_a_row = max_in_a_row
        self._skipped = 0
        self._begin: int | None = None  # iterations done before this step's first forward
        self._buffers: list[Tensor] = []
        self._kept: Path | None = None

    def before_train(self, runner: Runner) -> None:
        """See that there is a guard, and take up the counts of a resumed run."""
        runner.optim_wrapper = guarded(runner.optim_wrapper)
        hub = runner.message_hub
        self._skipped = int(hub.get_scalar(COUNT).current()) if COUNT in hub.log_scalars else 0
        self._begin, self._kept = None, None
        for hook in runner.hooks:
            if isinstance(hook, EMAHook) and not getattr(hook, "by_step", False):
                runner.logger.warning(
                    "EMAHook's average moves in skipped steps too, and under accumulation several "
                    "times a step; type='StepEMAHook' with the same options does not"
                )

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Keep the buffers, and a checkpoint if skipping this step would stop the run."""
        if self._begin is not None:
            return  # gradients of this step are being gathered up
        self._begin = runner.iter
        self._buffers = [buffer.clone() for buffer in tensors_of(unwrapped(runner.model))[1]]
        if runner.message_hub.get_info(IN_A_ROW, 0) == self.max_in_a_row - 1:
            self._kept = _keep_state(runner)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Log and count the step if there was one; stop after too many skipped in a row."""
        wrapper = runner.optim_wrapper
        verdict = wrapper.verdict if isinstance(wrapper, GuardedOptimWrapper) else None
        if verdict is None:
            if runner.optim_wrapper.should_update():
                self._begin = None
            return
        in_a_row = self._counted(runner, verdict)
        self._begin = None
        if verdict.finite:
            if not wrapper.logs_norm:
                # the log shows a mean, which one infinite norm would spoil
                runner.message_hub.update_scalar("train/grad_norm", verdict.grad_norm)
            return
        with torch.no_grad():
            buffers = tensors_of(unwrapped(runner.model))[1]
            for buffer, before in zip(buffers, self._buffers, strict=True):
                buffer.copy_(before)
        runner.logger.warning(
            f"step {runner.iter + 1} was skipped: {in_a_row} in a row (the run stops at "
            f"{self.max_in_a_row}), {self._skipped} in all"
        )
        if in_a_row >= self.max_in_a_row:
            self._stop(runner, in_a_row)

    def _counted(self, runner: Runner, verdict: Verdict) -> int:
        """Count in the message hub, which checkpoints hold; returns how many in a row."""
        hub = runner.message_hub
        in_a_row = 0 if verdict.finite else hub.get_info(IN_A_ROW, 0) + (not verdict.overflow)
        if in_a_row == 1 and not verdict.overflow:
            hub.update_info(ROW_BEGINS, self._begin)
        self._skipped += not verdict.finite
        hub.update_scalar(COUNT, self._skipped)
        hub.update_info(IN_A_ROW, in_a_row)
        return in_a_row

    def _stop(self, runner: Runner, in_a_row: int) -> None:
        barrier()  # a launcher ends the other ranks once one has left
        bad = [name for name, p in unwrapped(runner.model).named_parameters() if not all_finite(p)]
        damaged = f"; {len(bad)} weights are not finite, {bad[0]} first" if bad else ""
        debug = (
            f"--resume --debug-step {runner.iter + 1}"
            if self._kept is None
            else f"--resume {self._kept} --debug-step"
        )
        raise NonFiniteError(
            f"{in_a_row} steps in a row had a loss or gradient that is not finite, step "
            f"{runner.iter + 1} was the last; weights are those from before them and the "
            f"checkpoints in {runner.work_dir} are kept{damaged}. To see where it arises, "
            f"give the same command with {debug}"
        )


def _keep_state(runner: Runner) -> Path | None:
    """Save the state before this step; nothing but the checkpoint is missing if that fails."""
    folder = Path(runner.work_dir, "non_finite")
    meta = dict(epoch=runner.epoch, iter=runner.iter)
    name = f"iter_{runner.iter}.pth"
    try:
        runner.save_checkpoint(str(folder), name, meta=meta, by_epoch=False)
    except (DiskFullError, OSError) as error:
        runner.logger.warning(f"the state before this step could not be saved: {error}")
        return None
    return folder / name


def all_finite(tensor: Tensor) -> bool:
    """Whether a tensor, or this rank's part of a sharded one, holds finite numbers alone."""
    local = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return bool(torch.isfinite(local).all())
