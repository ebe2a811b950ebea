"""The pretrainings: jobs of one queue, each of which goes on from its last checkpoint."""

from collections.abc import Mapping, Sequence

from ..occupied import occupied
from ..progress import ProgressLine
from ..transfer.fingerprints import (
    Facts,
    Record,
    digest_of_code,
    digest_of_text,
    open_record,
    pictures_below,
)
from ..transfer.job_queue import Job, JobError, run_jobs
from ..transfer.lanes import plan_lanes
from ..transfer.trained_jobs import TRAIN, write_run
from .plan import SEEDS, Plan
from .sets import SETS
from .settings import Setting


def pretrain(plan: Plan, line: ProgressLine) -> dict[str, str]:
    """Train what has no weights yet, two at a time on a CPU.

    What was broken off goes on from its newest checkpoint, if its config and pictures are the same.

    Args:
        plan: what to pretrain.
        line: shows the progress.

    Returns:
        Name of what failed -> why; the others are whole.

    Raises:
        MaskSSLError: the folder holds weights of other pictures or of another config, or another
            process is pretraining there.
    """
    facts = {setting.name: facts_of(plan, setting) for setting in plan.pretrainings}
    if not _missing(plan, record_of(plan), facts):
        return {}
    with occupied(plan.out / "pretrained"):  # before any folder of a run is touched
        return _pretrain(plan, facts, line)


def _missing(plan: Plan, record: Record, facts: Mapping[str, Facts]) -> list[Setting]:
    return [one for one in plan.pretrainings if not record.is_done(one.name, facts[one.name])]


def _pretrain(plan: Plan, facts: Mapping[str, Facts], line: ProgressLine) -> dict[str, str]:
    record = record_of(plan)
    jobs = [_job(plan, one, facts[one.name]) for one in _missing(plan, record, facts)]
    failed: dict[str, str] = {}

    def finished(name: str, seconds: float) -> None:
        # weights are data: other code than that which made them does not make them stale
        record.finished(name, {**facts[name], "code": digest_of_code()}, seconds)

    def broke(name: str, error: JobError) -> None:
        failed[name] = str(error)
        line.say(f"{name} failed: {error}")

    line.say(f"pretraining {', '.join(job.name for job in jobs)}")
    run_jobs(jobs, plan_lanes(per_gpu=plan.jobs_per_gpu), line, finished, failed=broke)
    return failed


def record_of(plan: Plan) -> Record:
    """Which pretrainings are done."""
    return open_record(plan.out / "pretrained")


def facts_of(plan: Plan, setting: Setting) -> Facts:
    """What makes the weights, but for the code: config, seed and pictures by name and size.

    Where the pictures lie is none of it: a folder that moves leaves its weights fresh.
    """
    config = plan.config(setting)
    config.train_dataloader.dataset.data_root = setting.pictures
    return {
        "config": digest_of_text(config.pretty_text),
        "seed": str(SEEDS[0]),
        "pictures": pictures_of(plan, setting.pictures),
    }


def pictures_of(plan: Plan, name: str) -> str:
    """The training pictures of a set by number, names and sizes."""
    count, digest = pictures_below(plan.data(name) / SETS[name].pictures)
    return f"{count} of {name}, {digest}"


def _job(plan: Plan, setting: Setting, facts: Facts) -> Job:
    folder = plan.folder(setting)
    file = write_run(folder, plan.config(setting), SEEDS[0], facts)
    return Job(setting.name, TRAIN, (file,), folder / "train.log", setting.seconds)


def weights_of(plan: Plan, failed: Sequence[str]) -> list[Setting]:
    """The settings that have weights."""
    return [setting for setting in plan.pretrainings if setting.name not in failed]
