"""Run a recorded step again and see where it stops being finite."""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MessageHub, print_log
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS, OPTIM_WRAPPERS, DefaultScope, init_default_scope
from torch import Tensor, nn

from ...errors import MaskSSLError
from .plain_data import from_plain
from .record import (
    as_number,
    restore_module_settings,
    restore_numeric_settings,
    restore_random_states,
)


@dataclass
class Replay:
    """What a replayed step gave.

    Attributes:
        losses: of each forward, by name.
        recorded: the same from the record.
        bad_gradients: parameters whose gradients are not finite.
        first_bad_module: the first module whose output is not finite, '' if there is none.
        anomaly: what torch's anomaly detection says of the backward, '' if nothing.
    """

    losses: list[dict[str, float]] = field(default_factory=list)
    recorded: list[dict[str, float]] = field(default_factory=list)
    bad_gradients: list[str] = field(default_factory=list)
    first_bad_module: str = ""
    anomaly: str = ""

    @property
    def exact(self) -> bool:
        """All losses are those of the record, to the last bit; NaN equals NaN."""
        pairs = list(zip(self.losses, self.recorded, strict=False))
        return len(self.losses) == len(self.recorded) and all(
            now.keys() == then.keys() and all(_same(now[key], then[key]) for key in then)
            for now, then in pairs
        )


def replay(
    record: dict[str, Any],
    model: nn.Module | None = None,
    device: str | None = None,
    anomaly: bool = False,
) -> Replay:
    """Run the forwards and backwards of a recorded step, without the optimizer's.

    Args:
        record: of ``read_record``.
        model: for runs that were not built from a config; its weights are overwritten.
        device: default the record's.
        anomaly: also name the operation of the backward that gives the first NaN. The backward
            ends there.

    Raises:
        MaskSSLError: the record has no config of a model, or its device is not here.
    """
    device = device or record["device"]
    if device == "cuda" and not torch.cuda.is_available():
        raise MaskSSLError(
            "the step ran on a GPU and there is none; --device cpu, in other last bits"
        )
    if device != record["device"]:
        print_log(f"recorded on {record['device']}, run on {device}: last bits differ", "current")
    if record["world_size"] > 1:
        print_log(
            f"one of {record['world_size']} ranks alone: what crosses ranks (SyncBN, gathered "
            "keys, averaged gradients) is not replayed",
            logger="current",
        )
    cfg = Config.fromstring(record["config"], ".py") if record["config"].strip() else Config()
    model = _build_model(cfg) if model is None else model
    model.load_state_dict(record["state_dict"])
    model.to(device)
    wrapper = _wrapper(cfg, model)
    wrapper.initialize_count_status(
        model, record["forwards"][0]["inner_count"], record["max_counts"]
    )
    progress = {key: record[key] for key in ("epoch", "max_epochs", "max_iters")}
    MessageHub.get_current_instance().update_info_dict(progress)
    result = Replay(recorded=[forward["losses"] for forward in record["forwards"]])
    with _first_bad_module(model, result):
        for forward in record["forwards"]:
            _run(forward, model, wrapper, result, anomaly)
    result.bad_gradients = [
        name
        for name, p in model.named_parameters()
        if p.grad is not None and not bool(torch.isfinite(p.grad).all())
    ]
    return result


def _build_model(cfg: Config) -> nn.Module:
    if "model" not in cfg:
        raise MaskSSLError(
            "the record has no config of a model, since its run was built from objects; call "
            "maskssl.engine.finite_steps.replay.replay(record, model=...) with the model"
        )
    init_default_scope(cfg.get("default_scope", "mmengine"))
    if "data_preprocessor" in cfg:
        cfg.model.setdefault("data_preprocessor", cfg.data_preprocessor)
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope")):
        return MODELS.build(cfg.model)


def _wrapper(cfg: Config, model: nn.Module) -> OptimWrapper:
    """The run's kind of optim wrapper (autocast, accumulation), never stepping."""
    trained = [p for p in model.parameters() if p.requires_grad]
    options = {
        key: value
        for key, value in cfg.get("optim_wrapper", {}).items()
        if key not in ("constructor", "paramwise_cfg", "optimizer", "clip_grad")
    }
    options = {"type": "OptimWrapper", **options, "optimizer": torch.optim.SGD(trained, lr=0.0)}
    wrapper = OPTIM_WRAPPERS.build(options)
    wrapper.step = wrapper.zero_grad = lambda **kwargs: None
    return wrapper


def _run(
    forward: dict[str, Any], model: nn.Module, wrapper: OptimWrapper, result: Replay, anomaly: bool
) -> None:
    """One forward and backward, as train_step runs them."""
    restore_numeric_settings(forward["numerics"])
    restore_module_settings(model, forward["settings"])
    batch = from_plain(forward["batch"])
    MessageHub.get_current_instance().update_info("iter", forward["iter"])
    parse = model.parse_losses

    def parse_and_keep(losses: Any) -> Any:
        total, log = parse(losses)  # kept here too: an anomaly ends train_step before it returns
        result.losses.append({key: as_number(value) for key, value in log.items()})
        return total, log

    model.parse_losses = parse_and_keep
    restore_random_states(forward["random"])
    try:
        with _anomaly(result) if anomaly else nullcontext():
            model.train_step(batch, wrapper)
    finally:
        vars(model).pop("parse_losses")


@contextmanager
def _anomaly(result: Replay) -> Iterator[None]:
    """Note what torch's anomaly detection finds, with the line of the forward."""
    with warnings.catch_warnings(record=True) as caught, torch.autograd.detect_anomaly():
        warnings.simplefilter("always")
        try:
            yield
        except RuntimeError as error:
            if "returned nan values" not in str(error):
                raise
            traces = [str(w.message) for w in caught if "Error detected in" in str(w.message)]
            result.anomaly = result.anomaly or "\n".join([str(error), *traces])


@contextmanager
def _first_bad_module(model: nn.Module, result: Replay) -> Iterator[None]:
    """Note the first module, innermost first, with an output that is not finite."""

    def look(name: str, output: Any) -> None:
        if result.first_bad_module == "" and not all(map(_finite, _tensors(output))):
            result.first_bad_module = name

    handles = [
        module.register_forward_hook(lambda _module, _inputs, output, n=name: look(n, output))
        for name, module in model.named_modules()
        if name
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)


def _finite(tensor: Tensor) -> bool:
    return bool(torch.isfinite(tensor).all())


def _same(now: float, then: float) -> bool:
    return now == then or (math.isnan(now) and math.isnan(then))
