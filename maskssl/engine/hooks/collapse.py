"""Say when the features of a siamese network shrink to one point."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ...errors import MaskSSLError

WATCHED = ("spread_student", "spread_teacher")


@HOOKS.register_module()
class CollapseHook(Hook):
    """Warn when the spread of student or teacher features vanishes.

    The spread is 1 for features on an even sphere and 0 when all images have the same
    one (``feature_spread``). BYOL's loss falls in both cases, so it does not tell.

    Args:
        threshold: spread below which a warning is due.
        interval: iterations between two looks, each of which waits for the device.
    """

    priority = "LOW"

    def __init__(self, threshold: float = 0.05, interval: int = 50) -> None:
        self.threshold = threshold
        self.interval = interval

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict[str, Any] | None = None,
    ) -> None:
        """Look at the spreads that the step has logged."""
        if not self.every_n_train_iters(runner, self.interval):
            return
        found = {name: float(value) for name, value in (outputs or {}).items() if name in WATCHED}
        if not found:
            raise MaskSSLError(
                "CollapseHook finds no spread among what the model's loss returns "
                f"({sorted(outputs or {})}); it is for ExtreMA: remove it from custom_hooks"
            )
        for name, spread in found.items():
            if spread < self.threshold:
                runner.logger.warning(
                    f"step {runner.iter + 1}: {name} is {spread:.3f} of at most 1 (threshold "
                    f"{self.threshold}): the features of different images are almost the same. "
                    "Lower the lr, lengthen the warm-up, or move the teacher faster"
                )
