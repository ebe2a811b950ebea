"""Move the teacher once per optimizer step."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ...errors import MaskSSLError
from ..unwrapping import unwrapped


@HOOKS.register_module()
class MomentumUpdateHook(Hook):
    """After each optimizer step, teacher <- m * teacher + (1 - m) * student.

    Under gradient accumulation the teacher waits for the step, as the student does. The
    momentum follows the target generator's schedule and is logged. A schedule by progress
    is read at the next step: the authors of ExtreMA move the teacher before each forward,
    which is the same.
    """

    priority = "NORMAL"

    def before_train(self, runner: Runner) -> None:
        """Refuse a model without teacher."""
        if not hasattr(getattr(unwrapped(runner.model), "target_generator", None), "update"):
            raise MaskSSLError(
                f"MomentumUpdateHook needs a model with a MomentumEncoder as target_generator, "
                f"{type(unwrapped(runner.model)).__name__} has none; remove the hook"
            )

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Update the teacher if the optimizer has just stepped."""
        if not runner.optim_wrapper.should_update():
            return
        model = unwrapped(runner.model)
        progress = (runner.iter + 1) / runner.max_iters
        momentum = model.target_generator.momentum_at(runner.epoch, progress)
        model.target_generator.update(model, momentum)
        runner.message_hub.update_scalar("train/momentum", momentum)
