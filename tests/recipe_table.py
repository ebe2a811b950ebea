"""The table of published values, and the configs that it speaks of as built objects."""

import gc
import importlib.util
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import tomllib
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.optim.optimizer import OptimWrapper
from mmengine.registry import MODELS, PARAM_SCHEDULERS, DefaultScope
from torch import nn, optim

from maskssl import config_file

TABLE = Path(__file__).parent / "data" / "recipes.toml"
DRAWS = (
    "normal_",
    "trunc_normal_",
    "uniform_",
    "xavier_uniform_",
    "xavier_normal_",
    "kaiming_uniform_",
    "kaiming_normal_",
)
NEEDED = {"mmseg": ("mmseg", "mmcv._ext"), "mmdet": ("mmdet", "mmcv._ext")}


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = deepcopy(below)
    for key, value in above.items():
        nested = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if nested else value
    return merged


@cache
def recipes() -> dict[str, dict[str, Any]]:
    """Config name -> groups of values, whole: what a recipe repeats of another is filled in."""
    found: dict[str, dict[str, Any]] = {}
    for recipe in tomllib.loads(TABLE.read_text(encoding="utf-8"))["recipe"]:
        below = found[recipe["like"]] if "like" in recipe else {}
        found[recipe["config"]] = _merged(below, recipe)
    return found


def groups(recipe: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The groups of a recipe, without the sources."""
    return {
        name: {key: value for key, value in group.items() if key != "source"}
        for name, group in recipe.items()
        if isinstance(group, dict)
    }


@dataclass
class Built:
    """A config and what was built of it; the model's weights are as they were allocated."""

    cfg: Config
    model: nn.Module
    wrapper: OptimWrapper | None

    @property
    def backbone(self) -> nn.Module:
        """The encoder, of a model that a test-time augmentation wraps too."""
        return getattr(self.model, "module", self.model).backbone

    def grouped(self) -> Iterator[tuple[str, nn.Parameter, dict[str, Any]]]:
        """Name, parameter and optimizer group of all that is trained."""
        names = {param: name for name, param in self.model.named_parameters()}
        for group in self.wrapper.optimizer.param_groups:
            for param in group["params"]:
                yield names[param], param, group


@cache
def config(name: str) -> Config:
    """A shipped config; not to be changed."""
    return Config.fromfile(config_file(name), import_custom_modules=False)


def inner_model(cfg: Config) -> Any:
    """The model's config, or that of the one that a test-time augmentation wraps."""
    return cfg.model.get("module", cfg.model)


def skip_without(scope: str) -> None:
    """Skip where a scope's package or mmcv's compiled ops are not installed."""
    for module in NEEDED.get(scope, ()):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")


def built(name: str) -> Built:
    """A config's model and optim wrapper; drawing weights would take most of the time."""
    gc.collect()  # the models of before, gigabytes in circles
    cfg = deepcopy(config(name))
    inner_model(cfg).backbone.init_cfg = None
    with (
        mock.patch.multiple(nn.init, **{draw: lambda tensor, *_, **__: tensor for draw in DRAWS}),
        DefaultScope.overwrite_default_scope(cfg.default_scope),
    ):
        model = MODELS.build(cfg.model)
        wrapped = "optim_wrapper" in cfg and "ms-flip" not in name
        wrapper = build_optim_wrapper(model, cfg.optim_wrapper) if wrapped else None
    return Built(cfg, model, wrapper)


def lr_curve(cfg: Config, lr: float, epoch_length: int, steps: list[int]) -> list[float]:
    """The learning rate of a group at given steps, as mmengine's runner steps its schedulers.

    Args:
        cfg: with ``param_scheduler`` and ``train_cfg``.
        lr: that the group starts from.
        epoch_length: steps of an epoch.
        steps: rising, from 0.
    """
    optimizer = optim.SGD([nn.Parameter()], lr=lr)
    schedulers = []
    for entry in cfg.param_scheduler:
        entry = dict(entry)
        to_iter = entry.pop("convert_to_iter_based", False)
        in_epochs = entry.get("by_epoch", True)
        if "end" not in entry:
            entry["end"] = cfg.train_cfg["max_epochs" if in_epochs else "max_iters"]
        scheduler = PARAM_SCHEDULERS.get(entry.pop("type"))
        if to_iter:
            scheduler, in_epochs = scheduler.build_iter_from_epoch, False
            entry["epoch_length"] = epoch_length
        schedulers.append((scheduler(optimizer, **entry), in_epochs))
    optimizer.step()
    values, wanted = [], set(steps)
    for step in range(steps[-1] + 1):
        if step in wanted:
            values.append(optimizer.param_groups[0]["lr"])
        for scheduler, in_epochs in schedulers:
            if not in_epochs or (step + 1) % epoch_length == 0:
                scheduler.step()
    return values
