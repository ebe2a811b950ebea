"""How the groups of the table that speak of the training compare with what was built."""

import ast
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import HOOKS, MODELS
from torch import nn

from tests.recipe_table import Built, lr_curve

EPOCH = 5  # steps of an epoch in simulated schedules
DET_EPOCH = 600  # longer than the warm-up of 500 steps
# A group of the table -> what compares it. Each takes what was built and the group, and
# removes from the group what it has compared.
CHECKS: dict[str, Callable[[Built, dict[str, Any]], None]] = {}


def compares(check: Callable[[Built, dict[str, Any]], None]) -> Callable[..., None]:
    """Register the comparison of the group it is named after."""
    CHECKS[check.__name__] = check
    return check


@compares
def batch(model: Built, values: dict[str, Any]) -> None:
    cfg = model.cfg
    if "gpus" not in values:  # a test alone
        assert cfg.test_dataloader.batch_size == values.pop("per_gpu")
        return
    per_gpu, accumulation = values.pop("per_gpu"), values.pop("accumulation")
    assert cfg.train_dataloader.batch_size == per_gpu
    images = values.pop("gpus") * per_gpu * accumulation  # of one step
    assert cfg.auto_scale_lr.base_batch_size == images
    if model.wrapper is not None:
        assert model.wrapper._accumulative_counts == accumulation


@compares
def optimizer(model: Built, values: dict[str, Any]) -> None:
    if model.wrapper is None:
        values.clear()
        return
    made, peak = model.wrapper.optimizer, values.pop("lr")
    kind = values.pop("type")
    assert type(made).__name__ == {"LARS": "MAELARS"}.get(kind, kind)
    decay, rate = values.pop("weight_decay"), values.pop("layer_decay")
    clip = values.pop("clip_norm", 0)
    assert model.wrapper.clip_grad_kwargs == (dict(max_norm=clip, norm_type=2) if clip else None)
    for key, published in (
        ("betas", "betas"),
        ("momentum", "momentum"),
        ("trust_coeff", "trust_coefficient"),
    ):
        if published in values:
            wanted = values.pop(published)
            found = {repr(group.get(key, 0.0)) for group in made.param_groups}
            assert found == {repr(tuple(wanted) if published == "betas" else wanted)}, published
    depth = model.backbone.num_layers
    for name, param, group in model.grouped():
        below = depth_from_head(name, depth)
        assert group["lr"] == pytest.approx(peak * rate**below), name
        plain = param.ndim <= 1 or name.endswith(("pos_embed", "cls_token"))
        assert group["weight_decay"] == (0 if plain else decay), name
    trained = {name for name, param in model.model.named_parameters() if param.requires_grad}
    assert trained == {name for name, _, _ in model.grouped()}


def depth_from_head(name: str, depth: int) -> int:
    """How many times the layer decay applies: 1 for the last block, depth + 1 for the stem."""
    if block := re.match(r"backbone\.blocks\.(\d+)\.", name):
        return depth - int(block[1])
    return depth + 1 if re.match(r"backbone\.(patch_embed|cls_token|pos_embed)", name) else 0


@compares
def precision(model: Built, values: dict[str, Any]) -> None:
    if model.wrapper is None:
        values.clear()
        return
    with model.wrapper.optim_context(nn.Linear(2, 2)):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert str(product.dtype) == f"torch.{values.pop('dtype')}"


@compares
def schedule(model: Built, values: dict[str, Any]) -> None:
    """The lr of the head, and of the stem below it, at the times of the table."""
    cfg = model.cfg
    length = values.pop("epochs", None) or values.pop("iterations")
    assert cfg.train_cfg.get("max_epochs", cfg.train_cfg.get("max_iters")) == length
    epoch = DET_EPOCH if "lr_at_step" in values else EPOCH
    epoch = 1 if "max_iters" in cfg.train_cfg else epoch
    warm = values.pop("warmup_epochs", 0) * epoch or values.pop("warmup_iterations", 500)
    values.pop("floor", None)  # lr_at says what it makes of it
    points = [(step, lr) for step, lr in values.pop("lr_at_step", [])]
    points += [(round(time * epoch), lr) for time, lr in values.pop("lr_at")]
    peak, steps = cfg.optim_wrapper.optimizer.lr, tuple(step for step, _ in points)
    rate = cfg.optim_wrapper.paramwise_cfg.layer_decay_rate
    for scale in (1.0, rate ** (model.backbone.num_layers + 1)):
        for (step, lr), found in zip(points, curve(cfg, peak * scale, epoch, steps), strict=True):
            # mmengine's warm-up arrives a step early, and so does its poly
            allowed = lr * (1.2 / warm if step < warm else 2e-5) + 8e-6 * peak
            assert found == pytest.approx(lr * scale, abs=allowed * scale), f"step {step}"


def curve(cfg: Config, lr: float, epoch: int, steps: tuple[int, ...]) -> list[float]:
    """``lr_curve``, walked once for all schedules that only scale with the lr."""
    scales = not any(entry.get("eta_min") for entry in cfg.param_scheduler)
    walked = _walked(
        repr(cfg.param_scheduler), repr(cfg.train_cfg), 1.0 if scales else lr, epoch, steps
    )
    return [lr * value for value in walked] if scales else walked


@cache
def _walked(schedulers: str, loop: str, lr: float, epoch: int, steps: tuple[int, ...]):
    entries, train_cfg = ast.literal_eval(schedulers), ast.literal_eval(loop)
    return lr_curve(Config(dict(param_scheduler=entries, train_cfg=train_cfg)), lr, epoch, [*steps])


@compares
def ema(model: Built, values: dict[str, Any]) -> None:
    decay = values.pop("decay")
    hooks = [HOOKS.build(hook) for hook in model.cfg.custom_hooks if hook.type.endswith("EMAHook")]
    assert len(hooks) == bool(decay)
    for hook in hooks:
        source = nn.Linear(1, 1, bias=False)
        averaged = MODELS.build(dict(hook.ema_cfg, model=source))
        for weight in (1.0, 1.0, 2.0):  # the first update copies
            nn.init.constant_(source.weight, weight)
            averaged.update_parameters(source)
        moved = averaged.module.weight.item() - 1
        assert moved == pytest.approx(1 - decay, rel=1e-3)
