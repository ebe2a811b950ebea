"""Compile a pretraining model where a GPU is."""

import importlib.util
import time
from typing import Any, Literal

from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn

from ...errors import MaskSSLError
from ...models.compiling import Staged, compile_stages
from ...private_names import keep_graphs_whole_under_ddp
from .momentum import unwrapped

# Compiling takes about a minute, and saved 22 and 26 ms of a step of ViT-B on an H200; smaller
# models gain less
WORTH_STEPS = 5000
# key of the message hub, which checkpoints hold: what was decided when the run began
EARNS = "compiling_earns"


@HOOKS.register_module()
class CompileHook(Hook):
    """Replace the stages of a model's step by compiled ones; see ``compile_stages``.

    A shape of batch compiles once in each process, in the first step that has it. Losses agree
    with those of the plain step to rounding.

    Args:
        enabled: True, False, or 'auto' for pretraining on a GPU where Triton is installed, unless
            the whole run has too few steps to earn the time back.
        mode: 'default', or 'reduce-overhead' for CUDA graphs, which take more memory.
        deterministic: see ``compile_stages``.
    """

    # behind hooks that still change the model
    priority = "VERY_LOW"

    def __init__(
        self,
        enabled: bool | Literal["auto"] = "auto",
        mode: str = "default",
        deterministic: bool = True,
    ) -> None:
        if enabled not in (True, False, "auto"):
            raise MaskSSLError(f"CompileHook enabled={enabled!r}: use True, False or 'auto'")
        self.enabled = enabled
        self.mode = mode
        self.deterministic = deterministic
        self._began: float | None = None
        self._announce = False

    def before_train(self, runner: Runner) -> None:
        """Decide, and have the stages compiled when they first run."""
        model = unwrapped(runner.model)
        if not self._wanted(model):
            return
        if self.enabled == "auto" and not self._earns(runner):
            return
        if not isinstance(model, Staged):
            raise MaskSSLError(
                f"CompileHook compiles pretraining, {type(model).__name__} has no stages; set "
                "default_hooks.compile.enabled='auto' or False"
            )
        if runner.cfg.get("sharding"):
            runner.logger.warning(
                "the step stays uncompiled: sharding gathers weights block by block, which "
                "compiled stages would not let it do"
            )
            return
        if get_world_size() > 1 and any(getattr(m, "recomputed", ()) for m in model.modules()):
            # DDP cuts a graph where its buckets end, and cannot cut one that recomputes blocks
            keep_graphs_whole_under_ddp()
        compile_stages(model, self.mode, self.deterministic)
        self._announce = True
        runner.logger.info(
            f"the first step compiles {', '.join(model.stages)} (mode {self.mode!r}), which takes "
            "a minute or more; default_hooks.compile.enabled=False turns it off"
        )

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Look at the clock before the first step."""
        if self._announce:
            self._began = time.perf_counter()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Say how long it took."""
        if self._announce and self._began is not None:
            seconds = time.perf_counter() - self._began
            runner.logger.info(f"compiled: the first step took {seconds:.0f} s")
            self._announce = False

    def after_train(self, runner: Runner) -> None:
        """Leave the model as it is written."""
        model = unwrapped(runner.model)
        if isinstance(model, Staged):
            model.replace_stages(None)

    def _earns(self, runner: Runner) -> bool:
        """Whether the steps of the whole run are worth it; one that goes on computes as before."""
        hub = runner.message_hub
        earns = hub.get_info(EARNS, runner.max_iters >= WORTH_STEPS)
        hub.update_info(EARNS, earns)
        if not earns:
            steps = f"a run of {runner.max_iters} steps would not earn back"
            if runner.max_iters >= WORTH_STEPS:
                steps = "this run, when it began, was too short to earn back"
            runner.logger.info(
                f"the step stays uncompiled: compiling takes about a minute, which {steps}; "
                "default_hooks.compile.enabled=True compiles all the same"
            )
        return earns

    def _wanted(self, model: nn.Module) -> bool:
        if self.enabled != "auto":
            return bool(self.enabled)
        on_gpu = next(model.parameters()).device.type == "cuda"
        return isinstance(model, Staged) and on_gpu and bool(importlib.util.find_spec("triton"))
