"""Measure the steps of configs on this machine, and write what was found."""

import json
import platform
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import is_distributed

from ...models.compiling import Staged, compile_stages
from ..config import load_config, located_config
from ..launch import replace_sync_bn
from ..other_code import function_named
from ..unknown_arguments import named_in
from .cost import flops_per_image, saved_per_block
from .step import TrainingStep, training_step
from .timing import PartClock, Timing, matmul_peak, synchronise, timed, timed_in_turn

DTYPES = dict(bf16=torch.bfloat16, fp32=torch.float32)


def measure(
    name: str,
    batch_size: int,
    device: str,
    precision: str = "bf16",
    compiled: str | None = None,
    options: dict[str, Any] | None = None,
    against: str | None = None,
    steps: int = 10,
    runs: int = 3,
) -> dict[str, Any]:
    """Measure the step of one config; of several processes each measures its own.

    Args:
        name: of the config, in configs/ or a path.
        batch_size: images per step.
        device: 'cuda' or 'cpu'.
        precision: 'bf16' or 'fp32'.
        compiled: mode of ``compile_stages``, for pretraining; None runs the step as it is written.
        options: of the config, as ``--cfg-options`` gives them.
        against: 'MODULE:FUNCTION' that is timed in turn with ours; the function is called with
            ``batch_size`` and ``device`` and returns a step without arguments.
        steps: of one run.
        runs: of which the median and the spread are told.

    Returns:
        What JSON can hold: figures in images, seconds, bytes and FLOPs.
    """
    path = located_config(name)
    cfg = load_config(path, options)
    if is_distributed() and device == "cpu":
        replace_sync_bn(cfg)
    with named_in(cfg):
        step = training_step(cfg, batch_size, device, precision)
    compiled = compiled if isinstance(step.model, Staged) else None
    found: dict[str, Any] = dict(
        config=Path(path).stem,
        batch_size=batch_size,
        precision=step.precision(),
        compiled=compiled,
        options=options or {},
        flops_per_image=flops_per_image(step),
        saved_bytes_per_block=saved_per_block(step),
    )
    if is_distributed():
        step.join_ranks(find_unused_parameters=cfg.get("find_unused_parameters", False))
    if compiled:
        compile_stages(step.model, compiled)
        found["first_steps_seconds"] = _first_steps(step)
    if against is None:
        found.update(_figures(timed(step, step.device, steps, runs), batch_size))
    else:
        theirs = function_named(against)(batch_size=batch_size, device=device)
        both = timed_in_turn({"ours": step, against: theirs}, step.device, steps, runs)
        found.update(_figures(both["ours"], batch_size))
        found["against"] = {against: _figures(both[against], batch_size)}
    found["seconds_by_part"] = _parts(step, steps)
    return found


def machine(device: str, precision: str) -> dict[str, Any]:
    """What the figures were measured on, with its peak of matrix products in FLOP/s."""
    where = torch.device(device)
    size = 8192 if where.type == "cuda" else 1024
    named = torch.cuda.get_device_name(where) if where.type == "cuda" else platform.processor()
    return dict(
        device=named or platform.machine(),
        torch=torch.__version__,
        threads=torch.get_num_threads(),
        date=datetime.now(timezone.utc).isoformat(timespec="minutes"),
        peak_flops=matmul_peak(where, DTYPES[precision], size),
    )


def table(host: dict[str, Any], rows: Sequence[dict[str, Any]]) -> str:
    """Rows of ``measure`` as text."""
    peak = host["peak_flops"]
    lines = [
        f"{host['device']}, torch {host['torch']}, {host['threads']} threads, {host['date']}; "
        f"matrix product {peak / 1e12:.3g} TFLOP/s",
    ]
    if not rows:
        return lines[0]
    lines += [
        "",
        f"{'config':52} {'batch':>5} {'run as':16} {'img/s':>8} {'spread':>7} {'peak':>6} "
        f"{'GiB':>6} {'compile':>8}",
    ]
    for row in rows:
        share = row["images_per_second"] * row["flops_per_image"] / peak
        mode = f"{row['precision']} {row['compiled'] or 'plain'}"
        compiling = row.get("first_steps_seconds")
        lines.append(
            f"{row['config'][:52]:52} {row['batch_size']:5} {mode:16} "
            f"{row['images_per_second']:8.1f} {row['spread']:7.1%} {share:6.1%} "
            f"{_gib(row['memory_bytes']):>6} {f'{compiling:.0f} s' if compiling else '':>8}"
        )
        for name, other in row.get("against", {}).items():
            ratio = row["images_per_second"] / other["images_per_second"]
            lines.append(
                f"    {name[:48]:48} {'':22} {other['images_per_second']:8.1f} "
                f"{other['spread']:7.1%} {'':6} {_gib(other['memory_bytes']):>6}  x {ratio:.2f}"
            )
        parts = row["seconds_by_part"].items()
        lines.append("    ms: " + ", ".join(f"{name} {1000 * s:.1f}" for name, s in parts))
        kept = row["saved_bytes_per_block"].items()
        lines.append("    MiB: " + ", ".join(f"{name} {size / 2**20:.0f}" for name, size in kept))
    return "\n".join(lines)


def write(path: str, host: dict[str, Any], parts: dict[str, Any]) -> None:
    """The same as JSON."""
    Path(path).write_text(json.dumps(dict(machine=host, **parts), indent=2) + "\n")


def _first_steps(step: TrainingStep, count: int = 2) -> float:
    start = time.perf_counter()
    for _ in range(count):
        step()
    synchronise(step.device)
    return time.perf_counter() - start


def _figures(timing: Timing, batch_size: int) -> dict[str, Any]:
    return dict(
        images_per_second=batch_size / timing.seconds,
        seconds_per_step=timing.seconds,
        spread=timing.spread,
        memory_bytes=timing.memory,
    )


def _parts(step: TrainingStep, steps: int) -> dict[str, float]:
    step.clock = clock = PartClock(step.device)
    step.time_stages()
    for _ in range(steps):
        step()
    return clock.seconds()


def _gib(size: int | None) -> str:
    return "-" if size is None else f"{size / 2**30:.1f}"
