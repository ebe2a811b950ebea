"""Kill a training again and again, resume it, and compare it with one that was left alone.

python -m tests.stress.resume_stress CONFIG --kills 20 --cfg-options \
    default_hooks.checkpoint.by_epoch=False default_hooks.checkpoint.interval=10
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, DictAction

from maskssl.checkpoints.finding import newest_valid
from maskssl.checkpoints.reading import read_checkpoint
from maskssl.cli.config import load_config
from maskssl.errors import MaskSSLError
from maskssl.evaluation.run_logs import read_run
from tests.support import tool_command

ROOT = Path(__file__).resolve().parents[2]
# what a clock or the machine says, not the training
UNEQUAL = ("time", "memory", "img_per_s", "images_per_second", "data_wait", "eta")
# names of files, and which keys a run has ever logged
BOOKKEEPING = ("runtime_info", "resumed_keys")
COMPARED = ("state_dict", "ema_state_dict", "optimizer", "param_schedulers", "message_hub")


class StressError(MaskSSLError):
    """A killed and resumed run ended otherwise than an undisturbed one."""


@dataclass(frozen=True)
class Shot:
    """A SIGKILL: when ``iteration`` are done, ``delay`` seconds later, or within a save."""

    iteration: int
    delay: float
    in_save: bool


def draw_shots(kills: int, iterations: int, seed: int, step_seconds: float) -> list[Shot]:
    """Shots spread over a run, one per equal part of it; each third is aimed at a save."""
    draw = random.Random(seed)
    shots = []
    for number in range(kills):
        first, last = (round(iterations * n / kills) for n in (number, number + 1))
        iteration = draw.randrange(max(1, first), max(2, last))
        in_save = number % 3 == 2
        delay = draw.uniform(0, 0.02 if in_save else step_seconds)
        shots.append(Shot(iteration, delay, in_save))
    return shots


def stress_resume(
    config: str,
    folder: str | Path,
    kills: int,
    options: Mapping[str, Any],
    say: Callable[[str], None],
    seed: int = 0,
    shots: Sequence[Shot] | None = None,
) -> list[Shot]:
    """Run once undisturbed and once with kills; both must end alike, bit for bit.

    Args:
        config: of any training.
        folder: takes both work dirs, ``whole`` and ``killed``.
        kills: SIGKILLs, at places drawn from ``seed``.
        options: as --cfg-options; they should save every few iterations.
        say: takes lines of progress.
        seed: of the kills.
        shots: the kills themselves, in place of drawing them.

    Returns:
        The shots that fell.

    Raises:
        StressError: a run failed by itself, or the ends differ; the message says where.
    """
    folder = Path(folder).resolve()
    if any((folder / name).exists() for name in ("whole", "killed")):
        raise StressError(f"{folder} holds an earlier stress; remove it or give another --out")
    cfg = load_config(str(ROOT / config), options)  # an absolute path stays as it is
    cfg.randomness = dict(cfg.get("randomness") or {}, deterministic=True)
    say(f"undisturbed run in {folder / 'whole'}")
    _train(cfg, folder, "whole")
    whole = _last_checkpoint(folder / "whole")
    iterations = int(whole["meta"]["iter"])
    shots = shots or draw_shots(kills, iterations, seed, _step_seconds(folder / "whole"))
    for number, shot in enumerate(shots, start=1):
        place = "in the save after" if shot.in_save else "at"
        say(f"kill {number}/{len(shots)}: {place} iteration {shot.iteration} of {iterations}")
        _train(cfg, folder, "killed", shot)
    say("last part, to the end")
    _train(cfg, folder, "killed")
    killed = _last_checkpoint(folder / "killed")
    differences = [*differing(whole, killed), *differing_logs(folder / "whole", folder / "killed")]
    if differences:
        raise StressError(
            f"{config}: after {len(shots)} kills {len(differences)} values differ from the "
            "undisturbed run:\n  " + "\n  ".join(differences[:20])
        )
    say(f"{len(shots)} kills, {iterations} iterations: weights, optimizer and losses are equal")
    return list(shots)


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Names of values that two training checkpoints do not share bit for bit."""
    found = [f"meta.{key}" for key in ("epoch", "iter") if one["meta"][key] != other["meta"][key]]
    for part in COMPARED:
        mine, theirs = dict(_leaves(one.get(part), part)), dict(_leaves(other.get(part), part))
        found += [f"{name}: only in one" for name in sorted(mine.keys() ^ theirs.keys())]
        found += [
            name for name in sorted(mine.keys() & theirs.keys()) if not _equal(name, mine, theirs)
        ]
    return found


def differing_logs(one: str | Path, other: str | Path) -> list[str]:
    """Steps and keys at which two work dirs have logged other values."""
    mine, theirs = _logged(Path(one)), _logged(Path(other))
    found = [f"log of step {step}: only in one" for step in sorted(mine.keys() ^ theirs.keys())]
    for step in sorted(mine.keys() & theirs.keys()):
        for key in sorted(mine[step].keys() | theirs[step].keys()):
            if mine[step].get(key) != theirs[step].get(key):
                values = f"{mine[step].get(key)} and {theirs[step].get(key)}"
                found.append(f"log of step {step}, {key}: {values}")
    return found


def with_kill_hook(cfg: Config, **options: Any) -> Config:
    """The config of a run that kills itself, for a process with the checkout on PYTHONPATH."""
    run = cfg.copy()
    run.custom_hooks = [*(cfg.get("custom_hooks") or []), dict(type="KillHook", **options)]
    imports = cfg.get("custom_imports") or dict(imports=[])
    run.custom_imports = dict(imports, imports=[*imports["imports"], "tests.stress.kill_hook"])
    return run


def environment() -> dict[str, str]:
    """This process's, in which the tests can be imported."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]])}


def _train(cfg: Config, folder: Path, name: str, shot: Shot | None = None) -> None:
    run = with_kill_hook(cfg, **vars(shot)) if shot else cfg
    path = folder / f"{name}.py"
    folder.mkdir(parents=True, exist_ok=True)
    run.dump(str(path))
    command = [*tool_command("train.py"), str(path), "--work-dir", str(folder / name), "--resume"]
    log = folder / f"{name}.log"
    with log.open("ab") as output:
        code = subprocess.call(
            command, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT, env=environment()
        )
    expected = -signal.SIGKILL if shot else 0
    if code != expected:
        tail = "\n  ".join(log.read_text(errors="replace").splitlines()[-15:])
        raise StressError(f"the run ended with code {code}, not {expected}; {log} ends:\n  {tail}")


def _last_checkpoint(work_dir: Path) -> dict[str, Any]:
    path = newest_valid(work_dir)
    if path is None:
        raise StressError(
            f"{work_dir} holds no checkpoint; save more often: default_hooks.checkpoint"
        )
    return read_checkpoint(path)


def _step_seconds(work_dir: Path) -> float:
    """Mean seconds of a training step."""
    steps = [line for line in read_run(work_dir).lines if "loss" in line.values]
    return sum(line.values["time"] for line in steps) / len(steps)


def _logged(work_dir: Path) -> dict[int, dict[str, float]]:
    """What was logged at each step of the training; a later run has the last word."""
    return {
        line.iteration: {key: value for key, value in line.values.items() if not _unequal(key)}
        for line in read_run(work_dir).lines
        if "loss" in line.values
    }


def _unequal(name: str) -> bool:
    return any(part in name for part in UNEQUAL)


def _leaves(node: Any, name: str) -> Iterator[tuple[str, Any]]:
    if hasattr(node, "data") and type(node).__name__ == "HistoryBuffer":
        node = list(node.data[0])  # the values, without their counts
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _leaves(value, f"{name}.{key}")
    elif isinstance(node, (list, tuple)):
        for key, value in enumerate(node):
            yield from _leaves(value, f"{name}.{key}")
    elif not (_unequal(name) or any(part in name for part in BOOKKEEPING)):
        yield name, node


def _equal(name: str, mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    one, other = mine[name], theirs[name]
    if torch.is_tensor(one) and torch.is_tensor(other):
        return torch.equal(one, other)
    return bool(one == other) or (one != one and other != other)


def main() -> None:
    """The command; see above."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="of any training")
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--out", default="work_dirs/stress", help="new folder of both runs")
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, default={})
    args = parser.parse_args()

    def say(line: str) -> None:
        sys.stdout.write(f"[{time.strftime('%H:%M:%S')}] {line}\n")
        sys.stdout.flush()

    try:
        stress_resume(args.config, args.out, args.kills, args.cfg_options, say, args.seed)
    except MaskSSLError as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
