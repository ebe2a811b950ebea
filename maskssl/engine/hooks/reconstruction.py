"""Reconstruction pictures while pretraining runs."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ...visualization.reconstruction import picture_grid, reconstruct
from ..sharding.fsdp2 import is_sharded, whole_weights
from ..unwrapping import unwrapped
from .logs import LeftOut


@contextmanager
def untouched_randomness() -> Iterator[None]:
    """Leave all random states as they were: pictures must not change a run."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)


@HOOKS.register_module()
class ReconstructionHook(Hook):
    """Save original, masked input and reconstruction of the same images as PNG.

    They go to work_dir/reconstructions/epoch_N.png, every ``interval`` epochs and after
    the last. One that a full disk does not take is left out.

    Args:
        interval: epochs between pictures.
        num_images: images on a picture, spread over the training set, so over its classes.
    """

    priority = "LOW"

    def __init__(self, interval: int = 1, num_images: int = 6) -> None:
        self.interval = interval
        self.num_images = num_images
        self._batch: dict[str, Any] | None = None
        self._left_out = LeftOut("pictures of reconstructions")

    def before_train(self, runner: Runner) -> None:
        """Take the images once, so that the pictures can be compared."""
        dataset = runner.train_dataloader.dataset
        with untouched_randomness():
            count = min(self.num_images, len(dataset))
            samples = [dataset[index * len(dataset) // count] for index in range(count)]
        self._batch = runner.train_dataloader.collate_fn(samples)

    def after_train_epoch(self, runner: Runner) -> None:
        """Draw on the main process."""
        last = runner.epoch + 1 == runner.max_epochs
        due = self.every_n_epochs(runner, self.interval) or last
        model = unwrapped(runner.model)
        # a sharded model runs on all ranks or not at all
        if not due or not (is_main_process() or is_sharded(model)):
            return
        with untouched_randomness(), whole_weights(model):
            torch.manual_seed(0)  # the same visible patches in every picture
            batch = model.data_preprocessor(self._batch, training=True)
            inputs = batch["inputs"]
            images = inputs if torch.is_tensor(inputs) else inputs[0]
            samples = batch["data_samples"]
            columns = reconstruct(model, images, data_samples=samples)
        if not is_main_process():
            return
        path = Path(runner.work_dir, "reconstructions", f"epoch_{runner.epoch + 1}.png")
        with self._left_out.where_full(runner):
            path.parent.mkdir(exist_ok=True)
            picture_grid(columns).save(path)
