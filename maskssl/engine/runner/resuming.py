"""Before a run is built: what it goes on from, and that it draws as the run did."""

import json
import logging
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

from mmengine.config import Config
from mmengine.dist import (
    broadcast_object_list,
    get_world_size,
    init_dist,
    is_distributed,
    is_main_process,
)
from mmengine.logging import print_log

from ...checkpoints.errors import CheckpointError
from ...checkpoints.finding import check_checkpoint, newest_to_resume
from ...checkpoints.reading import read_file
from ...datasets.draws.facts import SETTABLE, refusal, sampler_fact, settled
from ...errors import MaskSSLError
from .draws import DRAWS

Result = TypeVar("Result")
_whole: set[tuple[Path, int]] = set()  # checkpoints that were looked through, and when they changed


def settle_resume(cfg: Config, given: Collection[str] | None = None) -> None:
    """Name the checkpoint that a resumed run goes on from, and take from it what fixes its draws.

    The first process decides for all, so that clocks and file systems of other nodes do not
    matter; every process calls it. Where nothing is resumed, nothing happens.

    Args:
        cfg: complete, with ``launcher`` and ``work_dir``; changed in place. ``load_from`` becomes
            the checkpoint, or ``resume`` False where there is none.
        given: SETTABLE facts that the command itself sets. None where no command line is known:
            the checkpoint decides, or with ``train_cfg.new_draws`` the config as it stands.

    Raises:
        CheckpointError: the checkpoint that is given is damaged.
        MaskSSLError: the command, or the number of processes, would draw otherwise and
            ``train_cfg.new_draws`` is not set.
    """
    if not cfg.get("resume") or "train_dataloader" not in cfg:
        return
    join_processes(cfg)
    given_path = cfg.get("load_from")
    out_dir = hook_out_dir(cfg)
    point = from_first_process(lambda: _resume_point(given_path, cfg.work_dir, out_dir))
    if point is None:
        _say(f"nothing to resume in {cfg.work_dir}: the run starts anew")
        cfg.resume = False
        return
    cfg.load_from, before = point
    newest = "" if given_path else f", the newest whole checkpoint of {cfg.work_dir}"
    _say(f"resuming from {cfg.load_from}{newest}")
    now, new_draws = config_facts(cfg), (cfg.get("train_cfg") or {}).get("new_draws", False)
    if given is None:
        given = SETTABLE if new_draws else ()
    adopted, refused = settled(before, now, given)
    if refused and not new_draws:
        raise MaskSSLError(refusal(refused, before, now))
    for name, value in adopted.items():
        _say(f"{name} {value} is taken from {cfg.load_from}; the config has {now.get(name)}")
        _adopt(cfg, name, value)


def join_processes(cfg: Config) -> None:
    """Join the group of processes now, as mmengine's runner would a moment later."""
    if cfg.get("launcher", "none") != "none" and not is_distributed():
        init_dist(cfg.launcher, **cfg.get("env_cfg", {}).get("dist_cfg", {}))


def from_first_process(decide: Callable[[], Result]) -> Result:
    """What the first process decides, on all of them; its MaskSSLError is raised on all too."""
    found: list[Any] = [None, None]
    if is_main_process():
        try:
            found[0] = decide()
        except MaskSSLError as error:
            found[1] = error
    broadcast_object_list(found)
    if found[1] is not None:
        raise found[1]
    return found[0]


def refuse_damaged(path: Path) -> None:
    """Refuse to go on from a file that is not whole; torch itself compares no checksum.

    A command settles what it resumes, and then the runner that it builds does: large files are
    looked through once.

    Args:
        path: of a checkpoint; who reads it says so if there is none.

    Raises:
        CheckpointError: its checksum is another, or what it holds cannot be read.
    """
    if not path.is_file() or _state(path) in _whole:
        return
    reason = check_checkpoint(path)
    if reason is not None:
        raise CheckpointError(
            f"{path} is not resumed from: {reason}. Copy it again, give another checkpoint, or "
            "--resume alone, which takes the newest whole one of the work dir"
        )
    _whole.add(_state(path))


def hook_out_dir(cfg: Config) -> str | None:
    """The folder that a config gives to its checkpoint hook in place of the work dir."""
    hook = (cfg.get("default_hooks") or {}).get("checkpoint") or {}
    return hook.get("out_dir")


def config_facts(cfg: Config) -> dict[str, Any]:
    """What a config and the number of processes say of the draws; see ``draws.facts``."""
    loader, wrapper = cfg.train_dataloader, cfg.get("optim_wrapper") or {}
    return dict(
        seed=(cfg.get("randomness") or {}).get("seed"),
        batch_size=loader.get("batch_size"),
        accumulation=wrapper.get("accumulative_counts", 1),
        sampler=sampler_fact(loader),
        ranks=get_world_size(),
    )


def _resume_point(
    given: str | None, work_dir: str, out_dir: str | None
) -> tuple[str, dict[str, Any]] | None:
    """The checkpoint and its facts; one of an earlier version knows its seed alone."""
    path = newest_to_resume(work_dir, out_dir) if given is None else Path(given)
    if path is None:
        return None
    if given is None:
        _whole.add(_state(path))
    else:
        refuse_damaged(path)
    content = read_file(path, facts_alone=True)
    hub, meta = content.get("message_hub") or {}, content.get("meta") or {}
    facts = (hub.get("runtime_info") or {}).get(DRAWS)
    return str(path), dict(facts) if facts else dict(seed=meta.get("seed"))


def _state(path: Path) -> tuple[Path, int]:
    return path, path.stat().st_mtime_ns


def _adopt(cfg: Config, name: str, value: Any) -> None:
    if name == "seed":
        cfg.randomness = dict(cfg.get("randomness") or {}, seed=value)
    elif name == "batch_size":
        cfg.train_dataloader.batch_size = value
    elif name == "accumulation":
        cfg.optim_wrapper.accumulative_counts = value
    elif value.startswith("{"):  # else the name of a sampler that was built by hand
        cfg.train_dataloader.update(json.loads(value))


def _say(text: str) -> None:
    """Before there is a run's own log: on the screen, once."""
    if is_main_process():
        print_log(text, logger="current", level=logging.WARNING)
