"""The training step of a config on made-up images, as a function to be timed."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor

from ...models.compiling import Staged
from .batches import labelled_batch, pretraining_batch

Clock = Callable[[str], AbstractContextManager[Any]]
MOMENTUM = 0.999  # of the teacher; its value takes no time


def _untimed(part: str) -> AbstractContextManager[Any]:
    return nullcontext()


def training_step(
    cfg: Config, batch_size: int, device: str, precision: str = "bf16"
) -> "TrainingStep":
    """The step of any config that trains; weights are drawn, whatever the config loads.

    Args:
        cfg: of a pretraining, a classifier, a segmenter or a detector.
        batch_size: images.
        device: 'cuda' or 'cpu'.
        precision: 'bf16' (the config's autocast) or 'fp32'.

    Raises:
        MaskSSLError: a scope whose batches cannot be made up.
    """
    torch.manual_seed(0)
    scope = cfg.get("default_scope", "mmpretrain")
    with DefaultScope.overwrite_default_scope(scope):
        model = MODELS.build(cfg.model)
        model.to(device).train()
        options = dict(cfg.optim_wrapper)
        if precision == "fp32":
            options = dict(options, type="OptimWrapper")
            options.pop("dtype", None)
            options.pop("loss_scale", None)
        wrapper = build_optim_wrapper(model, options)
    if not isinstance(model, Staged):
        batch = labelled_batch(model, scope, batch_size)
        return TrainingStep(model, wrapper, batch, batch_size, device)
    model.init_weights()
    num_views = 2 if cfg.model.type == "ExtreMA" else 1
    grid, patch_size = model.backbone.grid_size, model.backbone.patch_size
    views, samples = pretraining_batch(grid, patch_size, num_views, batch_size)
    if torch.device(device).type == "cuda":
        views = [view.pin_memory() for view in views]
    batch = dict(inputs=views, data_samples=samples)
    return PretrainingStep(model, wrapper, batch, batch_size, device)


class TrainingStep:
    """Copy a batch to the device, forward, backward, optimizer: one call a step.

    It is what a runner does without its hooks.

    Args:
        model: in training.
        wrapper: of its optimizer.
        batch: 8-bit images and their truth, the same each time.
        batch_size: images in it.
        device: 'cuda' or 'cpu'.
    """

    def __init__(
        self, model: Any, wrapper: Any, batch: dict[str, Any], batch_size: int, device: str
    ) -> None:
        self.model, self.wrapper, self.batch = model, wrapper, batch
        self.called = model  # what the losses come from
        self.batch_size, self.device = batch_size, torch.device(device)
        self.clock: Clock = _untimed

    def __call__(self) -> dict[str, Tensor]:
        """Make a step; the losses stay on the device."""
        with self.clock("data"):
            inputs = self.inputs()
        losses = self.forward(inputs)
        loss, _ = self.model.parse_losses(losses)
        with self.clock("backward"):
            self.wrapper.backward(loss)
        with self.clock("optimizer"):
            self.wrapper.step()
            self.wrapper.zero_grad()
        return losses

    def precision(self) -> str:
        """What the forward runs in: a config without autocast stays fp32, whatever is asked."""
        kind = self.device.type
        with self.wrapper.optim_context(self.called):
            cast = torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind)
        if not cast:
            inside = getattr(getattr(self.model, "backbone", None), "autocast", False)
            return "bf16" if inside else "fp32"
        return "bf16" if cast == torch.bfloat16 else "fp16"

    def join_ranks(self, **options: Any) -> None:
        """Average gradients over the processes from now on, wrapped as a runner wraps a model.

        Args:
            **options: of DDP.
        """
        devices = [torch.cuda.current_device()] if self.device.type == "cuda" else None
        self.called = MMDistributedDataParallel(
            self.model, device_ids=devices, broadcast_buffers=False, **options
        )

    def inputs(self) -> Any:
        """The batch on the device, normalised."""
        # detectors change the boxes of their samples in place
        samples = [sample.clone() for sample in self.batch["data_samples"]]
        return self.model.data_preprocessor(dict(self.batch, data_samples=samples), True)

    def forward(self, inputs: Any) -> dict[str, Tensor]:
        """The losses alone, under the config's precision."""
        with self.clock("forward"), self.wrapper.optim_context(self.called):
            return self.called(**inputs, mode="loss")

    def time_stages(self) -> None:
        """Let the clock see the stages of the model; it has none."""


class PretrainingStep(TrainingStep):
    """With the teacher's move, and by stages.

    Images are in pinned memory, normalised on the device; masks are drawn as in training.
    """

    def __call__(self) -> dict[str, Tensor]:
        """Make a step; the losses stay on the device."""
        losses = super().__call__()
        with self.clock("teacher's move"):
            self.model.target_generator.update(self.model, MOMENTUM)
        return losses

    def inputs(self) -> list[Tensor]:
        """The views on the device, normalised (B, 3, H, W)."""
        norm = self.model.data_preprocessor
        views = [view.to(self.device, non_blocking=True) for view in self.batch["inputs"]]
        return [(view.float() - norm.mean) / norm.std for view in views]

    def forward(self, inputs: list[Tensor]) -> dict[str, Tensor]:
        """The losses alone, under the config's precision."""
        with self.wrapper.optim_context(self.called):
            return self.called(inputs, self.batch["data_samples"], mode="loss")

    def time_stages(self) -> None:
        """Let the clock see the model's stages too, compiled or not."""

        def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
            def run(*inputs: Any) -> Any:
                with self.clock(name):
                    return function(*inputs)

            return run

        self.model.replace_stages(timed)
