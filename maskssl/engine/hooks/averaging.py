"""A running average of the weights, in steps of the optimizer."""

from typing import Any

from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmpretrain.engine.hooks import EMAHook


@HOOKS.register_module()
class StepEMAHook(EMAHook):
    """mmpretrain's EMAHook, whose average moves once per optimizer step.

    EMAHook moves after every iteration: under accumulation of n forwards the average then
    decays by (1 - momentum) ** n a step, and in a step that was skipped it moves towards
    weights that did not. Options and checkpoints are EMAHook's, readable both ways; checkpoints
    hold how often the average has moved, which is now the number of steps.
    """

    by_step = True

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Move the average if the optimizer has just stepped."""
        if runner.optim_wrapper.should_update():
            super().after_train_iter(runner, batch_idx, data_batch, outputs)
