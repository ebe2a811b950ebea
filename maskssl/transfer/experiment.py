"""The job: features, choices on training images, and then, once, the test images."""

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np

from ..occupied import occupied
from ..progress import ProgressLine
from .fingerprints import Facts
from .job_queue import Job, JobError, run_jobs
from .lanes import plan_lanes
from .opening import (
    Experiment,
    Results,
    choice_file,
    failures,
    open_experiment,
    outcome_files,
)
from .plan import Plan
from .preflight import preflight
from .processes import rank_and_world, spread, wait_for_all
from .rows import Stage


def run_experiment(plan: Plan, line: ProgressLine) -> Results:
    """Measure every checkpoint; the same call again goes on where it was broken off.

    First everything is chosen, on training images alone; no test image is opened before that is
    done for all checkpoints. Then each chosen setting is fitted on all training images and scores
    the test images, once.

    Raises:
        MaskSSLError: the data cannot be used, plan.out has a result of other inputs, or another
            process is writing there.
    """
    with _kept(plan):
        return _measured(plan, line)


def _kept(plan: Plan) -> AbstractContextManager[None]:
    """Nobody else writes into the plan's folder; a look at what would run disturbs nobody."""
    writes = rank_and_world()[0] == 0 and not plan.only_preflight
    return occupied(plan.out) if writes else nullcontext()


def _measured(plan: Plan, line: ProgressLine) -> Results:
    experiment = open_experiment(plan, line)
    results = experiment.results
    results.preflight = preflight(experiment.work, experiment.scored_before)
    for said in results.preflight:
        line.say(said)
    if plan.only_preflight:
        return results
    train(experiment)
    for name, stage in experiment.pairs:
        if f"{name} {stage.name}" not in results.failed:
            with failures(results, f"{name} {stage.name}", line):
                _choose(experiment, name, stage)
    test(experiment)
    for name, stage in experiment.pairs:
        if f"{name} {stage.name}" not in results.failed:
            with failures(results, f"{name} {stage.name}", line):
                _score(experiment, name, stage)
    results.seconds = experiment.record.seconds
    return results


def train_beside(plan: Plan, others: Sequence[tuple[Job, Facts]], line: ProgressLine) -> None:
    """What a plan trains, side by side with other jobs, so that no core waits for those.

    Args:
        plan: ``run_experiment`` finds these trainings done.
        others: jobs that go first, with the facts by which plan.out's record knows them.
        line: shows the progress.

    Raises:
        JobError: one of the others failed.
    """
    with _kept(plan):
        experiment = open_experiment(plan, line)
        took = train(experiment, others)
        for name, stage in experiment.pairs:
            if any(job.startswith(f"{name} {stage.name} ") for job in took):
                with failures(experiment.results, f"{name} {stage.name}", line):
                    _choose(experiment, name, stage)


def train(experiment: Experiment, others: Sequence[tuple[Job, Facts]] = ()) -> dict[str, float]:
    """All trainings that have not been done, in one queue; a failed one ends its stage alone.

    Returns:
        Job -> seconds.
    """
    jobs = {}
    for name, stage in experiment.pairs:
        with failures(experiment.results, f"{name} {stage.name}", experiment.work.line):
            if not experiment.is_chosen(name, stage):
                jobs[name, stage.name] = stage.training(
                    experiment.work, name, experiment.facts[name, stage.name]
                )
    return _run(experiment, jobs, others)


def test(experiment: Experiment) -> None:
    """All tests of what was trained, in one queue."""
    jobs = {}
    for name, stage in experiment.pairs:
        if f"{name} {stage.name}" in experiment.results.failed:
            continue
        with failures(experiment.results, f"{name} {stage.name}", experiment.work.line):
            tests = stage.testing(experiment.work, name)
            if tests and not experiment.is_scored(name, stage):
                jobs[name, stage.name] = tests
    _run(experiment, jobs)


def _run(
    experiment: Experiment,
    jobs: Mapping[tuple[str, str], Sequence[Job]],
    others: Sequence[tuple[Job, Facts]] = (),
) -> dict[str, float]:
    stage_of = {job.name: " ".join(pair) for pair, some in jobs.items() for job in some}
    facts = {job.name: told for job, told in others}
    own = sorted((job for some in jobs.values() for job in some), key=lambda job: -job.seconds)
    wanted = [*(job for job, _ in others), *own]  # the longest first, so that no lane ends late

    def finished(job: str, seconds: float) -> None:
        if job in facts:
            experiment.record.finished(job, facts[job], seconds)
        else:
            experiment.record.spend(job, seconds)

    def side_by_side() -> tuple[dict[str, float], dict[str, JobError]]:
        failed: dict[str, JobError] = {}
        lanes = plan_lanes(per_gpu=experiment.work.plan.jobs_per_gpu)
        line = experiment.work.line
        took = run_jobs(wanted, lanes, line, finished, failed=failed.__setitem__)
        return took, failed

    if not wanted:
        return {}
    ((took, failed),) = spread([side_by_side])  # the first process alone
    for name, error in failed.items():
        if name not in stage_of:
            raise error
        experiment.results.failed[stage_of[name]] = str(error)
        experiment.work.line.say(f"{stage_of[name]} failed: {error}")
    return took


def _choose(experiment: Experiment, name: str, stage: Stage) -> None:
    """What training images decide, kept in a file."""
    work, record, results = experiment.work, experiment.record, experiment.results
    file = choice_file(work.plan, name, stage.name)
    if not experiment.is_chosen(name, stage):
        begun = time.monotonic()
        choice = stage.choose(work, name)
        if record.writes:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(choice, indent=1))
        job, seconds = f"{name} {stage.name}", time.monotonic() - begun
        record.finished(f"choose {job}", experiment.facts[name, stage.name], seconds, f"{job} ")
        wait_for_all()
    results.choices[name, stage.name] = json.loads(file.read_text())


def _score(experiment: Experiment, name: str, stage: Stage) -> None:
    """Outcomes on the test images, a file for each row."""
    work, record, results = experiment.work, experiment.record, experiment.results
    files = outcome_files(work.plan, name, stage)
    if not experiment.is_scored(name, stage):
        begun = time.monotonic()
        outcomes = stage.score(work, name, results.choices[name, stage.name])
        if record.writes:
            for row, array in outcomes.items():
                small = array if array.dtype == np.float32 else array.astype(np.int32)
                files[row].parent.mkdir(parents=True, exist_ok=True)
                np.save(files[row], small)
        job, seconds = f"{name} {stage.name}", time.monotonic() - begun
        facts = experiment.test_facts(name, stage)
        record.finished(f"score {job}", facts, seconds, f"test {job} ")
        wait_for_all()
    results.outcomes |= {(name, row): np.load(file) for row, file in files.items()}
