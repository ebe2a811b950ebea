"""BootMAE's feature weight, epoch by epoch."""

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop, Runner

from ...errors import MaskSSLError
from ...schedules import feature_weight_ramp
from ..unwrapping import unwrapped


@HOOKS.register_module()
class FeatureWeightHook(Hook):
    """Set the head's feature weight before each epoch, by its ramp."""

    def before_train(self, runner: Runner) -> None:
        """Refuse runs that have no epochs to ramp over."""
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise MaskSSLError(
                f"the feature weight rises by epoch, and {type(runner.train_loop).__name__} counts "
                "none; use train_cfg=dict(by_epoch=True, max_epochs=...)"
            )

    def before_train_epoch(self, runner: Runner) -> None:
        """Set this epoch's weight; a resumed run finds the same one."""
        head = unwrapped(runner.model).head
        head.current_feature_weight = feature_weight_ramp(
            runner.epoch, runner.max_epochs, head.feature_weight, head.feature_ramp
        )
