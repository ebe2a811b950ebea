"""How fast a run is, what it waits for and what it holds in memory, in every log."""

import os
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook, LoggerHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

from ...errors import MaskSSLError


def images_in(data_batch: Any) -> int | None:
    """Images in a batch of this process, or None where the batch does not tell.

    Several views of an image count once.

    Args:
        data_batch: what the loader yields: a dict with ``inputs`` and mostly
            ``data_samples``, or a tuple that starts with the images. Images are a tensor
            (B, C, H, W), a list of B tensors (C, H, W), or a list of views (B, C, H, W).
    """
    if isinstance(data_batch, Mapping):
        samples = data_batch.get("data_samples")
        if isinstance(samples, Sequence) and samples:
            return len(samples)
        data_batch = (data_batch.get("inputs"),)
    inputs = data_batch[0] if isinstance(data_batch, Sequence) and data_batch else None
    if isinstance(inputs, Tensor):
        return len(inputs) if inputs.ndim == 4 else None
    if isinstance(inputs, Sequence) and inputs and isinstance(inputs[0], Tensor):
        views = inputs[0].ndim == 4
        return len(inputs[0]) if views else len(inputs)
    return None


def resident_memory() -> float:
    """Megabytes (2**20 bytes) that this process holds in RAM now, without its loader processes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@HOOKS.register_module()
class ThroughputHook(Hook):
    """Log what tells whether a run is as fast as it should be.

    - ``img_per_s``: images per second over all ranks, which are taken to have batches of
      one size; no rank is asked.
    - ``data_wait_pct``: share of the time between two steps' ends in which the model
      waited for data, or for hooks that write (mmengine's ``data_time``), in percent.
    - ``host_memory_mb``: RAM of the main process (rank 0's in the logs); mmengine logs the
      GPU's as ``memory``. Linux only; left out elsewhere.
    - ``grad_scale``: the scale of the loss, under fp16 gradient scaling alone. The name
      avoids 'loss', as mmengine would log a mean of it.

    The first two are means over the last iterations of this process; after a resume they
    start anew. Nothing waits for the GPU but the scale, which is read when a line of the
    log is due and mmengine has waited for the losses.

    Args:
        window: iterations of the means; None takes the log processor's.

    Raises:
        MaskSSLError: a window below 1.
    """

    # behind IterTimerHook (NORMAL, 50), whose times it reads; before LoggerHook (60)
    priority = 55

    def __init__(self, window: int | None = None) -> None:
        if window is not None and window < 1:
            raise MaskSSLError(f"window={window}: take 1 or more iterations, or None")
        self.window = window

    def before_train(self, runner: Runner) -> None:
        """Start counting."""
        size = self.window or runner.log_processor.window_size
        # images of all ranks, seconds, seconds waited
        self._steps: deque[tuple[int, float, float]] = deque(maxlen=size)
        loggers = [hook for hook in runner.hooks if isinstance(hook, LoggerHook)]
        self._log_interval = min((hook.interval for hook in loggers), default=1)
        self._with_memory = Path("/proc/self/statm").exists()
        self._uncounted = False

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Add the iteration to the window and publish the figures."""
        scalars = runner.message_hub.log_scalars
        if "train/time" not in scalars or "train/data_time" not in scalars:
            raise MaskSSLError(
                "ThroughputHook reads the times of IterTimerHook, which has not run; keep "
                "default_hooks.timer at a priority before 55"
            )
        seconds = [scalars[f"train/{key}"].current() for key in ("time", "data_time")]
        images = images_in(data_batch)
        if images is None and not self._uncounted:
            self._uncounted = True
            runner.logger.warning(
                f"ThroughputHook finds no images in a batch of type {type(data_batch).__name__}: "
                "img_per_s is not logged for such batches"
            )
        self._steps.append(((images or 0) * runner.world_size, *seconds))
        self._publish(runner)
        if self.every_n_inner_iters(batch_idx, self._log_interval) or self.end_of_epoch(
            runner.train_dataloader, batch_idx
        ):
            self._publish_costly(runner)

    def _publish(self, runner: Runner) -> None:
        images, seconds, waits = zip(*self._steps, strict=True)
        total, waited = sum(seconds), sum(waits)
        if total <= 0:  # a clock that was set back
            return
        if all(images):  # else too few would be counted
            self._log(runner, "img_per_s", sum(images) / total)
        self._log(runner, "data_wait_pct", 100 * waited / total)

    def _publish_costly(self, runner: Runner) -> None:
        """What needs a system call or a copy from the device, once per line of the log."""
        if self._with_memory:
            self._log(runner, "host_memory_mb", resident_memory())
        scaler = getattr(runner.optim_wrapper, "loss_scaler", None)
        if scaler is not None and hasattr(scaler, "get_scale"):
            self._log(runner, "grad_scale", scaler.get_scale())

    @staticmethod
    def _log(runner: Runner, key: str, value: float) -> None:
        # figures of a machine, not of the run: they stay out of its checkpoints
        runner.message_hub.update_scalar(f"train/{key}", value, resumed=False)
