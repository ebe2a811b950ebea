"""What a run would do with lr, weight decay, momentum and feature weight, without running it."""

import copy
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import MODELS, PARAM_SCHEDULERS, init_default_scope
from torch import nn

from ..engine.runner.schedule_ends import cut_off, refuse_rising
from ..private_names import accumulative_counts
from ..schedules import feature_weight_ramp
from ..visualization.schedules import Schedules
from .config import ConfigError
from .data_check import DataError, look_at_data
from .data_check.run_length import RunLength, run_length

_TOGETHER = 2  # names of modules that a group is called by


def schedules_of(cfg: Config, images: int | None = None, processes: int = 1) -> Schedules:
    """Step the config's own schedulers on the parameter groups of its own optimizer.

    The model is built with random weights, no image is loaded; the values are those that a run
    would take its steps with.

    Args:
        cfg: of a training.
        images: of its training set; None looks at the data.
        processes: that share them.

    Raises:
        ConfigError: nothing is trained, several optimizers, or epochs of unknown length.
        MaskSSLError: a schedule begins behind the run's end.
    """
    for key in ("train_cfg", "optim_wrapper", "train_dataloader"):
        if not cfg.get(key):
            raise ConfigError(f"the config has no {key}: it trains nothing whose schedule is drawn")
    length = _length(cfg, images, processes)
    iterations = length.epochs * length.batches or int(cfg.train_cfg.get("max_iters") or 0)
    init_default_scope(cfg.get("default_scope") or "mmpretrain")
    model = MODELS.build(copy.deepcopy(cfg.model))  # some parts add to their lists
    wrapper = build_optim_wrapper(model, copy.deepcopy(cfg.optim_wrapper))
    if not isinstance(wrapper, OptimWrapper):
        raise ConfigError(
            "optim_wrapper builds several optimizers; schedules are drawn of one alone"
        )
    _scale(cfg, wrapper, length)
    title = f"{Path(cfg.filename or 'config').stem}: {length}"
    schedules = Schedules(title, length.batches)
    schedules.panels |= _stepped(cfg, wrapper, model, length, iterations)
    schedules.panels |= _of_hooks(cfg, model, length, iterations)
    return schedules


def _length(cfg: Config, images: int | None, processes: int) -> RunLength:
    if images is None:
        try:
            found = look_at_data(cfg, ["train_dataloader"])
        except DataError as error:
            raise ConfigError(
                f"an epoch's length depends on the training set, and {error}. Or say how many "
                "images it has: --images N (ImageNet-1K has 1281167)"
            ) from error
        drawn = [one.drawn for one in found if one.loader == "train_dataloader"]
        if not drawn or None in drawn:
            raise ConfigError("nothing tells how many images the training set has; give --images N")
        images = sum(filter(None, drawn))
    return run_length(cfg, images, processes)


def _scale(cfg: Config, wrapper: OptimWrapper, length: RunLength) -> None:
    """The lr by the images of a step, where the config scales it."""
    scaling = cfg.get("auto_scale_lr") or {}
    if scaling.get("enable"):
        images = length.batch * length.processes * accumulative_counts(wrapper)
        for group in wrapper.optimizer.param_groups:
            group["lr"] *= images / scaling["base_batch_size"]
    refuse_rising(cfg.get("param_scheduler"), wrapper.optimizer.param_groups)


def _stepped(
    cfg: Config, wrapper: OptimWrapper, model: nn.Module, length: RunLength, iterations: int
) -> dict[str, dict[str, np.ndarray]]:
    """Learning rate and weight decay of every group that differs, in every iteration."""
    modules = _keep_distinct(wrapper, model)
    groups = wrapper.optimizer.param_groups
    schedulers = list(_schedulers(cfg, wrapper, length, iterations))
    by_step = [one for one in schedulers if not one.by_epoch]
    by_epoch = [one for one in schedulers if one.by_epoch]
    keys = {"lr": "learning rate", "weight_decay": "weight decay"}
    values = {key: np.zeros((len(groups), iterations)) for key in keys}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Detected call of `scheduler.step")  # nothing is trained
        for iteration in range(iterations):
            for key, found in values.items():
                found[:, iteration] = [group.get(key, 0) for group in groups]
            for scheduler in by_step:
                scheduler.step()
            if (iteration + 1) % length.batches == 0:
                for scheduler in by_epoch:
                    scheduler.step()
    return {title: _named(values[key], modules) for key, title in keys.items()}


def _schedulers(
    cfg: Config, wrapper: OptimWrapper, length: RunLength, iterations: int
) -> Iterator[Any]:
    """The config's schedulers; those without an end take the run's, as mmengine has it."""
    configs = cfg.get("param_scheduler") or []
    cut_off(configs, length.epochs or None, iterations)
    for config in [configs] if isinstance(configs, Mapping) else configs:
        end = length.epochs if config.get("by_epoch", True) else iterations
        yield PARAM_SCHEDULERS.build(
            dict(dict(end=end), **config),
            default_args=dict(optimizer=wrapper, epoch_length=length.batches),
        )


def _keep_distinct(wrapper: OptimWrapper, model: nn.Module) -> list[list[str]]:
    """Leave one group of those that have the same settings; the module of each of its tensors."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    kept: dict[str, dict[str, Any]] = {}
    modules: dict[str, list[str]] = {}
    for group in wrapper.optimizer.param_groups:
        settings = {k: v for k, v in group.items() if k not in ("params", "param_names")}
        key = repr(sorted(settings.items()))
        kept.setdefault(key, group)
        modules.setdefault(key, []).extend(_module(names[id(one)]) for one in group["params"])
    wrapper.optimizer.param_groups[:] = kept.values()
    return list(modules.values())


def _module(parameter: str) -> str:
    """'backbone.blocks.3' of 'backbone.blocks.3.attn.qkv.weight'."""
    parts = parameter.split(".")
    return ".".join(parts[: 3 if len(parts) > 2 and parts[2].isdigit() else 2])


def _named(curves: np.ndarray, modules: Sequence[Sequence[str]]) -> dict[str, np.ndarray]:
    """Whose it is -> curve, of (G, T) curves; equal ones are one."""
    found: dict[bytes, tuple[np.ndarray, list[str]]] = {}
    for curve, own in zip(curves, modules, strict=True):
        found.setdefault(curve.tobytes(), (curve, []))[1].extend(own)
    named: dict[str, np.ndarray] = {}
    for curve, own in found.values():
        unique = list(dict.fromkeys(own))
        more = f" and {len(unique) - _TOGETHER} more" if len(unique) > _TOGETHER else ""
        name = f"{len(own)} tensors of {', '.join(unique[:_TOGETHER])}{more}"
        named[name if name not in named else f"{name} ({len(named) + 1})"] = curve
    return named


def _of_hooks(
    cfg: Config, model: nn.Module, length: RunLength, iterations: int
) -> dict[str, dict[str, np.ndarray]]:
    """Momentum of the teacher and BootMAE's feature weight, where their hooks are in the config."""
    hooks = {hook.get("type") for hook in cfg.get("custom_hooks") or ()}
    batches = length.batches if length.epochs else iterations
    epochs = [iteration // batches for iteration in range(iterations)]
    found: dict[str, dict[str, np.ndarray]] = {}
    if "MomentumUpdateHook" in hooks:
        at = model.target_generator.momentum_at
        curve = [at(epoch, (step + 1) / iterations) for step, epoch in enumerate(epochs)]
        found["momentum of the teacher"] = {"": np.array(curve)}
    if "FeatureWeightHook" in hooks:
        head = model.head
        weights = [
            feature_weight_ramp(epoch, length.epochs, head.feature_weight, head.feature_ramp)
            for epoch in range(length.epochs)
        ]
        found["feature weight"] = {"": np.repeat(weights, length.batches)}
    return found
