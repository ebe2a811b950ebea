"""What a process does that a launcher has started again after a fault."""

import os
from pathlib import Path

from mmengine.logging import print_log

from ..checkpoints.finding import newest_written
from .processes import LAUNCHED


def resume_from(
    given: str | None, work_dir: str | Path, out_dir: str | Path | None = None
) -> str | None:
    """What ``--resume`` means now: a checkpoint, 'auto', or None.

    A job that a launcher has started again goes on from the newest checkpoint that it has
    written itself, whatever its command line says; before its first one it starts as it
    did at first. Slurm counts its restarts, and does not say when it launched the job: there the
    newest checkpoint may be a former run's if the job has not written one. torchrun's count will
    not do, as on nodes where no process died it stays 0; so a checkpoint counts that is younger
    than the launch. That is read from one clock: the first process's node saves the checkpoints,
    and it alone is asked (``from_first_process``).

    Args:
        given: the command line's ``--resume``.
        work_dir: of the run.
        out_dir: of its checkpoint hook.
    """
    since = _launched()
    own = None if since is None else newest_written(work_dir, out_dir, since)
    if own is None:
        return given
    print_log(
        f"started again by the launcher: the run goes on from {own}, the newest checkpoint that "
        "it has written",
        logger="current",
        level=30,  # logging.WARNING
    )
    return str(own)


def _launched() -> float | None:
    """From when on checkpoints are this job's; None where it cannot have been started again."""
    if int(os.environ.get("SLURM_RESTART_COUNT") or 0):
        return 0.0
    launched = os.environ.get(LAUNCHED)
    return None if launched is None else float(launched)
