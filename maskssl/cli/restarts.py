"""What a process does that a launcher has started again after a fault."""

import os
from pathlib import Path

from mmengine.logging import print_log

from ..checkpoints.finding import training_checkpoints
from .processes import LAUNCHED


def resume_from(given: str | None, work_dir: str | Path) -> str | None:
    """What ``--resume`` means now: 'auto', a path, or None.

    A job that a launcher has started again goes on from the newest checkpoint that it has
    written itself, whatever its command line says; before its first one it starts as it
    did at first. Slurm counts its restarts. torchrun's count will not do, as on nodes
    where no process died it stays 0; so a checkpoint counts that is younger than the
    launch. That is read from one clock: the first process's node saves the checkpoints,
    and it alone is asked (``from_first_process``).

    Args:
        given: the command line's ``--resume``.
        work_dir: of the run.
    """
    if not _has_own_checkpoint(Path(work_dir)):
        return given
    print_log(
        f"started again by the launcher: the run goes on from the newest checkpoint in {work_dir}",
        logger="current",
        level=30,  # logging.WARNING
    )
    return "auto"


def _has_own_checkpoint(work_dir: Path) -> bool:
    written = [path.stat().st_mtime for path in training_checkpoints(work_dir)]
    if int(os.environ.get("SLURM_RESTART_COUNT") or 0):
        return bool(written)
    launched = os.environ.get(LAUNCHED)
    return launched is not None and any(time >= float(launched) for time in written)
