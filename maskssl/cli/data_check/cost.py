"""What a training will cost at least: seconds to load its images, bytes of its checkpoints."""

import copy
import time
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, init_default_scope

from ...datasets.checks.pictures import sample
from .nodes import loader_config
from .run_length import RunLength

_TIMED = 32  # images through the pipeline
_FLOAT = 4  # bytes
_STATES = {"SGD": 1, "LARS": 1}  # tensors that an optimizer keeps for each weight; Adam's are two


def cost(cfg: Config, length: RunLength) -> dict[str, Any]:
    """Measure the pipeline on a few images and count the model's weights.

    Args:
        cfg: of a training.
        length: of it.

    Returns:
        ``loading``: seconds per image in one loader process, ``hours``: of the whole run if
        loading is all that takes time, ``checkpoint``: bytes of one.
    """
    init_default_scope(cfg.get("default_scope") or "mmpretrain")
    loader: Mapping[str, Any] = loader_config(cfg, "train_dataloader") or {}
    dataset = DATASETS.build(loader["dataset"])
    chosen = sample(len(dataset), _TIMED)
    start = time.perf_counter()
    for number in chosen:
        dataset[number]
    seconds = (time.perf_counter() - start) / len(chosen)
    workers = max(1, loader.get("num_workers") or 0) * length.processes
    images = length.steps * length.batch * length.processes * length.accumulation
    model = MODELS.build(copy.deepcopy(cfg.model))  # some parts add to their lists
    optimizer = (cfg.get("optim_wrapper") or {}).get("optimizer") or {}
    hooks = [hook.get("type") for hook in cfg.get("custom_hooks") or ()]
    averages = any(getattr(kind, "__name__", str(kind)).endswith("EMAHook") for kind in hooks)
    states = _STATES.get(optimizer.get("type", ""), 2)
    weights = sum(  # an optimizer keeps nothing for what is frozen, such as a teacher
        (1 + averages + states * parameter.requires_grad) * parameter.numel()
        for parameter in model.parameters()
    )
    return dict(
        loading=seconds,
        hours=images * seconds / workers / 3600,
        checkpoint=weights * _FLOAT,
    )


def cost_line(found: Mapping[str, Any]) -> str:
    """The cost for a screen."""
    return (
        f"loading takes {1e3 * found['loading']:.1f} ms an image in each loader process, so the "
        f"run takes {found['hours']:.2g} hours at least; a checkpoint takes about "
        f"{found['checkpoint'] / 1e6:,.0f} MB"
    )
