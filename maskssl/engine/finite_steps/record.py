"""What is needed to run one training step again: data, random states, weights, settings."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.runner import Runner
from torch import Tensor, nn

from ...checkpoints.reading import read_checkpoint
from ...checkpoints.writing import write_checkpoint
from ...errors import MaskSSLError
from ..hooks.momentum import unwrapped
from .plain_data import from_plain, to_plain

FORMAT = 1


def random_states() -> dict[str, Any]:
    """States of the generators of random, numpy, and torch on CPU and current GPU."""
    on_gpu = torch.cuda.is_available() and torch.cuda.is_initialized()
    return dict(
        random=random.getstate(),
        numpy=to_plain(np.random.get_state(), []),
        torch=torch.get_rng_state(),
        cuda=torch.cuda.get_rng_state() if on_gpu else None,
    )


def restore_random_states(states: dict[str, Any]) -> None:
    """Put back what ``random_states`` returned; a GPU's state only where there is a GPU."""
    random.setstate(states["random"])
    np.random.set_state(from_plain(states["numpy"]))
    torch.set_rng_state(states["torch"])
    if states["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])


def module_settings(model: nn.Module) -> dict[str, dict[str, Any]]:
    """Numbers, switches and text held by each module.

    They lie outside the state_dict and hooks change them: a loss weight that rises by epoch,
    training or eval mode.
    """
    plain = (bool, int, float, str)
    return {
        name: {key: value for key, value in vars(module).items() if type(value) in plain}
        for name, module in model.named_modules()
    }


def restore_module_settings(model: nn.Module, settings: dict[str, dict[str, Any]]) -> None:
    """Put back what ``module_settings`` returned."""
    for name, module in model.named_modules():
        vars(module).update(settings.get(name, {}))


def numeric_settings() -> dict[str, Any]:
    """Settings of torch that change the last bits of a result."""
    return dict(
        threads=torch.get_num_threads(),
        deterministic=torch.are_deterministic_algorithms_enabled(),
        matmul_precision=torch.get_float32_matmul_precision(),
        cudnn_benchmark=torch.backends.cudnn.benchmark,
        cudnn_deterministic=torch.backends.cudnn.deterministic,
    )


def restore_numeric_settings(settings: dict[str, Any]) -> None:
    """Put back what ``numeric_settings`` returned."""
    torch.set_num_threads(settings["threads"])
    torch.use_deterministic_algorithms(settings["deterministic"])
    torch.set_float32_matmul_precision(settings["matmul_precision"])
    torch.backends.cudnn.benchmark = settings["cudnn_benchmark"]
    torch.backends.cudnn.deterministic = settings["cudnn_deterministic"]


def as_number(value: Tensor | float) -> float:
    """A logged loss, to the last bit."""
    return float(value.detach() if isinstance(value, Tensor) else value)


def forward_record(runner: Runner, data_batch: Any) -> dict[str, Any]:
    """One forward to come: its batch as train_step gets it, and the random states before it."""
    dropped: list[str] = []
    return dict(
        iter=runner.iter,
        batch=to_plain(data_batch, dropped),
        dropped=dropped,
        random=random_states(),
        settings=module_settings(unwrapped(runner.model)),
        numerics=numeric_settings(),
        inner_count=runner.optim_wrapper._inner_count,
        losses={},
    )


def step_record(
    runner: Runner, forwards: list[dict[str, Any]], bad_gradients: list[str]
) -> dict[str, Any]:
    """One optimizer step that was skipped, with the weights as they were before it.

    Every rank has to call it: sharded weights are put together.

    Args:
        runner: after the step; skipping has left its weights and buffers as they were.
        forwards: a ``forward_record`` for each forward of the step, with its losses.
        bad_gradients: parameters whose gradients were not finite.
    """
    model = unwrapped(runner.model)
    state = {
        name: (value.full_tensor() if hasattr(value, "full_tensor") else value).cpu()
        for name, value in model.state_dict().items()
    }
    return dict(
        format=FORMAT,
        step=runner.iter + 1,
        epoch=runner.epoch,
        max_iters=runner.max_iters,
        max_epochs=runner.max_epochs,
        max_counts=runner.optim_wrapper._max_counts,
        seed=runner.seed,
        rank=get_rank(),
        world_size=get_world_size(),
        device=next(model.parameters()).device.type,
        config=runner.cfg.pretty_text,
        state_dict=state,
        forwards=forwards,
        bad_gradients=bad_gradients,
        bad_weights=[
            name for name, value in state.items() if not bool(torch.isfinite(value).all())
        ],
    )


def write_record(record: dict[str, Any], folder: Path) -> Path:
    """Write FOLDER/step_N.pt, with several ranks step_N_rankR.pt, whole or not at all.

    Raises:
        DiskFullError: no space.
        OSError: any other failure of the file system.
    """
    rank = f"_rank{record['rank']}" if record["world_size"] > 1 else ""
    path = folder / f"step_{record['step']}{rank}.pt"
    write_checkpoint(record, path)
    return path


def read_record(path: str | Path) -> dict[str, Any]:
    """Read a record; nothing in it can run code.

    Raises:
        MaskSSLError: no such file, or no record of this form.
    """
    record = read_checkpoint(path)
    if record.get("format") != FORMAT or "forwards" not in record:
        raise MaskSSLError(
            f"{path} is no record of a step (format {record.get('format')!r}, expected {FORMAT}); "
            "FiniteStepHook writes them to WORK_DIR/non_finite/"
        )
    return record
