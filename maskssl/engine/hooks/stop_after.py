"""Try a run, or share it out over several goes: save and leave after some steps."""

from typing import Any

from mmengine.dist import barrier
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ...errors import MaskSSLError
from .preemption import save_here


@HOOKS.register_module()
class StopAfterHook(Hook):
    """After some steps of the optimizer: save a checkpoint and leave, with exit code 0.

    The config, and with it the length of every schedule, stays that of the whole run; ``--resume``
    goes on to its end, or for as many steps again. The run's own last step ends it as ever.

    Args:
        steps: of the optimizer since this process began, at least 1.

    Raises:
        MaskSSLError: fewer steps.
    """

    # behind the checkpoint that may be due, and a signal's own save
    priority = "LOWEST"

    def __init__(self, steps: int) -> None:
        if steps < 1:
            raise MaskSSLError(f"steps={steps}: stop after 1 step or more (--stop-after)")
        self.steps = steps
        self._done = 0

    def before_train(self, runner: Runner) -> None:
        """Count anew."""
        self._done = 0

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Save and leave behind the last of the steps; ranks count alike."""
        if not runner.optim_wrapper.should_update():
            return  # gradients are gathered up, which no checkpoint holds
        self._done += 1
        if self._done < self.steps or runner.iter + 1 >= runner.max_iters:
            return
        save_here(runner)
        barrier()  # a launcher ends the other ranks once one has left, the writing one too
        runner.logger.warning(
            f"stopped after step {runner.iter + 1:,} of {runner.max_iters:,}, as asked by "
            f"--stop-after {self.steps}; --resume goes on"
        )
        raise SystemExit(0)
