"""Run one step of a training again and see where it stops being finite."""

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from ...errors import MaskSSLError
from ...private_names import accumulative_counts
from ..optimizers.delegating import DelegatingOptimWrapper
from ..unwrapping import unwrapped
from .hook import IN_A_ROW, ROW_BEGINS, all_finite


@dataclass
class StepReport:
    """What one rank has seen of a step.

    Attributes:
        losses: of each forward, by name.
        bad_weights: weights that are not finite before the step.
        first_bad_module: the first module whose output is not finite, '' if there is none;
            ``data_preprocessor`` is the input itself.
        bad_gradients: parameters whose gradients are not finite.
        anomaly: what torch's anomaly detection says of the backward, '' if nothing.
    """

    losses: list[dict[str, float]] = field(default_factory=list)
    bad_weights: list[str] = field(default_factory=list)
    first_bad_module: str = ""
    bad_gradients: list[str] = field(default_factory=list)
    anomaly: str = ""

    def lines(self) -> list[str]:
        """The report as text."""
        found = [
            f"forward {number}: {name} {value!r}{'' if math.isfinite(value) else ' NOT FINITE'}"
            for number, losses in enumerate(self.losses, start=1)
            for name, value in losses.items()
        ]
        for what, names in (
            ("weights not finite before the step", self.bad_weights),
            ("gradients not finite", self.bad_gradients),
        ):
            found.append(f"{what}: {len(names)}" + "".join(f"\n  {name}" for name in names))
        module = self.first_bad_module or "none"
        found.append(f"first module with an output that is not finite: {module}")
        return [*found, f"anomaly: {self.anomaly}"] if self.anomaly else found


class StepProbe(DelegatingOptimWrapper):
    """Runs backwards, never a step, and notes gradients that are not finite.

    Gradients stay on their rank (DistributedDataParallel), so that each rank tells its own.
    Where ranks must act together in a backward (FSDP2, DeepSpeed) the operation of the backward
    is not looked for, since a rank that finds it leaves its backward early.

    Args:
        inner: the run's.
        model: the bare model.
        report: taken down here.
    """

    def __init__(self, inner: OptimWrapper, model: nn.Module, report: StepReport) -> None:
        super().__init__(inner)
        self.model, self.report = model, report
        self.together = isinstance(model, FSDPModule) or hasattr(inner, "total_norm")
        self.complete = False

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """The run's own context, with the lines of the forward noted for the backward."""
        with ExitStack() as stack:
            stack.enter_context(self.inner.optim_context(model))
            if hasattr(model, "no_sync"):
                stack.enter_context(model.no_sync())
            if not self.together:
                stack.enter_context(_anomalies(self.report, check_nan=False))
            yield

    def update_params(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Run the backward; a second time, if it may be left early, to find the operation."""
        loss = self.scale_loss(loss)
        self.inner.backward(loss, **({} if self.together else dict(retain_graph=True)))
        for name, parameter in self.model.named_parameters():
            bad = parameter.grad is not None and not all_finite(parameter.grad)
            if bad and name not in self.report.bad_gradients:
                self.report.bad_gradients.append(name)
        if not self.together:
            with _anomalies(self.report, check_nan=True):
                loss.backward()
        self.complete = self.inner.should_update()

    def should_update(self) -> bool:
        """Never: teacher and average stand still."""
        return False


@HOOKS.register_module()
class DebugStepHook(Hook):
    """Run one step of a resumed run, tell in the log where it is not finite, and end the run.

    Nothing is trained: weights and files stay as they are. The process ends with code 0.

    Args:
        step: as the log counts them, from 1. None takes the first of the row of skipped steps
            that a checkpoint in WORK_DIR/non_finite/ stands in, else the next step. Of several
            forwards that make an optimizer step, any number names it. A later step is trained
            up to; of earlier ones only those of that row are at hand.
    """

    # it ends the run before a hook could save, or move a teacher by, a step that was not made
    priority = "HIGHEST"

    def __init__(self, step: int | None = None) -> None:
        self.step = step
        self._stack = ExitStack()
        self._probe: StepProbe | None = None

    def before_train(self, runner: Runner) -> None:
        """Go to the step; see the class."""
        hub, every = runner.message_hub, accumulative_counts(runner.optim_wrapper)
        row = hub.get_info(ROW_BEGINS) if hub.get_info(IN_A_ROW, 0) else runner.iter
        first = row if self.step is None else (self.step - 1) // every * every
        if first < row:
            raise MaskSSLError(
                f"--debug-step {self.step}: the checkpoint stands behind it, at step "
                f"{runner.iter}; resume from one before it (--resume PATH)"
            )
        if first >= runner.max_iters:
            raise MaskSSLError(
                f"--debug-step {self.step or first + 1}: the run has {runner.max_iters} steps; "
                "name one of them, or resume from an earlier checkpoint (--resume PATH)"
            )
        hub.update_info(IN_A_ROW, 0)  # nobody counts on, or saves for it
        self._first = first
        if first < runner.iter:
            runner.train_loop.go_to(first)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Put the probes into the step."""
        if runner.iter < self._first or self._probe is not None:
            return
        model, report = unwrapped(runner.model), StepReport()
        report.bad_weights = [n for n, p in model.named_parameters() if not all_finite(p)]
        self._stack.enter_context(_first_bad_module(model, report))
        self._probe = StepProbe(runner.optim_wrapper, model, report)
        runner.optim_wrapper.zero_grad()
        runner.optim_wrapper = self._probe

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Report and leave once the step is complete."""
        probe = self._probe
        if probe is None:
            return
        losses = {key: float(value) for key, value in (outputs or {}).items()}
        probe.report.losses.append(losses)
        if not probe.complete:
            return
        self._stack.close()
        for rank, report in enumerate(all_gather_object(probe.report)):
            text = "\n".join(report.lines())
            runner.logger.warning(f"step {runner.iter + 1}, rank {rank}\n{text}")
        raise SystemExit(0)


@contextmanager
def _anomalies(report: StepReport, check_nan: bool) -> Iterator[None]:
    """Note what torch's anomaly detection finds, with the line of the forward."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with torch.autograd.detect_anomaly(check_nan=check_nan):
            try:
                yield
            except RuntimeError as error:
                if not check_nan or "returned nan values" not in str(error):
                    raise
                traces = [str(w.message) for w in caught if "Error detected in" in str(w.message)]
                report.anomaly = report.anomaly or "\n".join([str(error), *traces])


@contextmanager
def _first_bad_module(model: nn.Module, report: StepReport) -> Iterator[None]:
    """Note the first module, innermost first, with an output that is not finite."""

    def looking(name: str) -> Callable[..., None]:
        def look(module: nn.Module, inputs: Any, output: Any) -> None:
            if report.first_bad_module == "" and not all(map(all_finite, _tensors(output))):
                report.first_bad_module = name

        return look

    with ExitStack() as stack:
        for name, module in model.named_modules():
            if name:
                stack.callback(module.register_forward_hook(looking(name)).remove)
        yield


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
