"""The training step of a pretraining config on made-up images, as a function to be timed."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor

from ...errors import MaskSSLError
from ...masking import block_mask
from ...models.compiling import Staged

Clock = Callable[[str], AbstractContextManager[Any]]
MOMENTUM = 0.999  # of the teacher; its value takes no time


def _untimed(part: str) -> AbstractContextManager[Any]:
    return nullcontext()


class TrainingStep:
    """Copy a batch to the device, forward, backward, optimizer, teacher: one call a step.

    Images are noise of 8 bits in pinned memory, normalised on the device; masks are drawn as in
    training. It is what a runner does without its hooks.

    Args:
        cfg: of a pretraining; its weights are drawn.
        batch_size: images.
        device: 'cuda' or 'cpu'.
        precision: 'bf16' (the config's autocast) or 'fp32'.

    Raises:
        MaskSSLError: the config's model has no stages to time.
    """

    def __init__(self, cfg: Config, batch_size: int, device: str, precision: str = "bf16") -> None:
        torch.manual_seed(0)
        with DefaultScope.overwrite_default_scope("mmpretrain"):
            model = MODELS.build(cfg.model)
        if not isinstance(model, Staged):
            raise MaskSSLError(
                f"the benchmark times pretraining; {type(model).__name__} is none: name a config "
                "of configs/pretrain"
            )
        model.init_weights()
        self.model = model.to(device).train()
        options = dict(cfg.optim_wrapper)
        if precision == "fp32":
            options = dict(options, type="OptimWrapper")
            options.pop("dtype", None)
        self.wrapper = build_optim_wrapper(self.model, options)
        self.device = torch.device(device)
        self.batch_size = batch_size
        self.views, self.samples = _batch(cfg, model, batch_size, pin=self.device.type == "cuda")
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
        with self.clock("teacher's move"):
            self.model.target_generator.update(self.model, MOMENTUM)
        return losses

    def inputs(self) -> list[Tensor]:
        """The views on the device, normalised (B, 3, H, W)."""
        norm = self.model.data_preprocessor
        views = [view.to(self.device, non_blocking=True) for view in self.views]
        return [(view.float() - norm.mean) / norm.std for view in views]

    def forward(self, inputs: list[Tensor]) -> dict[str, Tensor]:
        """The losses alone, under the config's precision."""
        with self.wrapper.optim_context(self.model):
            return self.model.loss(inputs, self.samples)

    def time_stages(self) -> None:
        """Let the clock see the model's stages too, compiled or not."""

        def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
            def run(*inputs: Any) -> Any:
                with self.clock(name):
                    return function(*inputs)

            return run

        self.model.replace_stages(timed)

    def state(self) -> dict[str, Any]:
        """Weights and optimizer, to go back to."""
        return dict(model=self.model.state_dict(), optimizer=self.wrapper.state_dict())

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a state."""
        self.model.load_state_dict(state["model"])
        self.wrapper.load_state_dict(state["optimizer"])


def _batch(
    cfg: Config, model: Staged, batch_size: int, pin: bool
) -> tuple[list[Tensor], list[DataSample]]:
    """Views (B, 3, H, W) of 8 bits and samples with block masks, the same ones each time."""
    grid, patch_size = model.backbone.grid_size, model.backbone.patch_size
    generator = torch.Generator().manual_seed(0)
    shape = batch_size, 3, grid[0] * patch_size, grid[1] * patch_size
    num_views = 2 if cfg.model.type == "ExtreMA" else 1
    views = [
        torch.randint(256, shape, generator=generator, dtype=torch.uint8) for _ in range(num_views)
    ]
    samples = []
    for _ in range(batch_size):
        sample = DataSample()
        sample.set_field(block_mask(grid, generator=generator), "mask")
        samples.append(sample)
    return [view.pin_memory() if pin else view for view in views], samples
