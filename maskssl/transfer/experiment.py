"""The job: features, choices on training images, and then, once, the test images."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import MaskSSLError
from ..progress import ProgressLine
from .encoders import Encoder, open_encoder
from .fingerprints import Facts, Record, digest_of_code, open_record
from .job_queue import Job, JobError, run_jobs
from .lanes import plan_lanes
from .plan import Plan
from .preflight import preflight
from .processes import rank_and_world, spread, wait_for_all
from .rows import Stage
from .sets import read_sets
from .stages import STAGES
from .work import Sets, Work


@dataclass
class Results:
    """All that the report is made of.

    Attributes:
        sets: kind of labels -> training and test images.
        encoders: name -> encoder, of those that could be read.
        failed: 'NAME' or 'NAME STAGE' -> reason.
        choices: (name, stage) -> settings and how each did on the held out training images.
        outcomes: (name, row) -> (settings, S, N, …) on the test images; the chosen setting stands
            first, and alone unless the published protocol is asked for.
        seconds: job -> seconds.
        took: job in a process of its own -> seconds, of those that ran now.
        preflight: what was said before it began.
    """

    sets: dict[str, Sets]
    encoders: dict[str, Encoder]
    failed: dict[str, str] = field(default_factory=dict)
    choices: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    outcomes: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    took: dict[str, float] = field(default_factory=dict)
    preflight: list[str] = field(default_factory=list)


@dataclass
class Experiment:
    """What has been opened, and what is known so far.

    Attributes:
        work: checkpoints and data.
        pairs: (checkpoint, stage), in order.
        facts: pair's names -> what its choice comes from.
        record: of the folder.
        results: filled as they come.
    """

    work: Work
    pairs: list[tuple[str, Stage]]
    facts: dict[tuple[str, str], Facts]
    record: Record
    results: Results

    def is_chosen(self, name: str, stage: Stage) -> bool:
        """Whether training images have decided already."""
        job = f"choose {name} {stage.name}"
        done = self.record.is_done(job, self.facts[name, stage.name])
        return done and choice_file(self.work.plan, name, stage.name).is_file()

    def is_scored(self, name: str, stage: Stage) -> bool:
        """Whether the test images have been scored already; it opens them."""
        files = outcome_files(self.work.plan, name, stage).values()
        return self.record.is_done(f"score {name} {stage.name}", self.test_facts(name, stage)) and (
            all(file.is_file() for file in files)
        )

    def test_facts(self, name: str, stage: Stage) -> dict[str, str]:
        """What outcomes come from; every test image is read once."""
        content = {"test images": self.work.sets[stage.labels][1].content}
        return {**self.facts[name, stage.name], **test_facts(self.work, stage), **content}


def run_experiment(plan: Plan, line: ProgressLine) -> Results:
    """Measure every checkpoint; the same call again goes on where it was broken off.

    First everything is chosen, on training images alone; no test image is opened before that is
    done for all checkpoints. Then each chosen setting is fitted on all training images and scores
    the test images, once.

    Raises:
        MaskSSLError: the data cannot be used, or plan.out has a result of other inputs.
    """
    experiment = open_experiment(plan, line)
    results = experiment.results
    results.preflight = preflight(experiment.work)
    for said in results.preflight:
        line.say(said)
    if plan.only_preflight:
        return results
    train(experiment)
    for name, stage in experiment.pairs:
        if f"{name} {stage.name}" not in results.failed:
            with _failures(results, f"{name} {stage.name}", line):
                _choose(experiment, name, stage)
    test(experiment)
    for name, stage in experiment.pairs:
        if f"{name} {stage.name}" not in results.failed:
            with _failures(results, f"{name} {stage.name}", line):
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
    experiment = open_experiment(plan, line)
    took = train(experiment, others)
    for name, stage in experiment.pairs:
        if any(job.startswith(f"{name} {stage.name} ") for job in took):
            with _failures(experiment.results, f"{name} {stage.name}", line):
                _choose(experiment, name, stage)


def open_experiment(plan: Plan, line: ProgressLine) -> Experiment:
    """Read checkpoints and data, and look for results of other inputs before any is computed.

    Raises:
        MaskSSLError: the data cannot be used, or plan.out has a result of other inputs.
    """
    stages = [STAGES[name] for name in plan.stages]
    work = Work(plan, line, read_sets(plan, stages))
    results = Results(work.sets, work.encoders)
    for name, given in plan.named.items():
        with _failures(results, name, line):
            work.encoders[name] = open_encoder(given, name, plan.device, plan.blocks, plan.img_size)
    if not work.encoders:
        raise MaskSSLError(f"no checkpoint could be read: {'; '.join(results.failed.values())}")
    record = open_record(plan.out, writes=rank_and_world()[0] == 0)
    pairs = [
        (name, stage)
        for name in work.encoders
        for stage in stages
        if plan.measures(name, stage.name)
    ]
    code = dict(code=digest_of_code())
    facts = {(name, stage.name): stage_facts(work, name, stage) | code for name, stage in pairs}
    for name, stage in pairs:
        own = facts[name, stage.name]
        record.is_done(f"choose {name} {stage.name}", own)
        record.is_done(f"score {name} {stage.name}", {**own, **test_facts(work, stage)})
    return Experiment(work, pairs, facts, record, results)


def train(experiment: Experiment, others: Sequence[tuple[Job, Facts]] = ()) -> dict[str, float]:
    """All trainings that have not been done, in one queue; a failed one ends its stage alone.

    Returns:
        Job -> seconds, also in ``results.took``.
    """
    jobs = {}
    for name, stage in experiment.pairs:
        with _failures(experiment.results, f"{name} {stage.name}", experiment.work.line):
            if not experiment.is_chosen(name, stage):
                jobs[name, stage.name] = stage.training(experiment.work, name)
    return _run(experiment, jobs, others)


def test(experiment: Experiment) -> None:
    """All tests of what was trained, in one queue."""
    jobs = {}
    for name, stage in experiment.pairs:
        if f"{name} {stage.name}" in experiment.results.failed:
            continue
        with _failures(experiment.results, f"{name} {stage.name}", experiment.work.line):
            tests = stage.testing(experiment.work, name)
            if tests and not experiment.is_scored(name, stage):
                jobs[name, stage.name] = tests
    _run(experiment, jobs)


def _run(
    experiment: Experiment,
    jobs: Mapping[tuple[str, str], Sequence[Job]],
    others: Sequence[tuple[Job, Facts]] = (),
) -> dict[str, float]:
    stage_of = {job.name: " ".join(pair) for pair, own in jobs.items() for job in own}
    facts = {job.name: own for job, own in others}
    wanted = [*(job for job, _ in others), *(job for own in jobs.values() for job in own)]

    def finished(job: str, seconds: float) -> None:
        if job in facts:
            experiment.record.finished(job, facts[job], seconds)

    def side_by_side() -> tuple[dict[str, float], dict[str, JobError]]:
        failed: dict[str, JobError] = {}
        lanes = plan_lanes()
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
    experiment.results.took |= took
    return took


def stage_facts(work: Work, name: str, stage: Stage) -> dict[str, str]:
    """What the choice of a stage's settings comes from, without the code."""
    plan, train = work.plan, work.sets[stage.labels][0]
    options = plan.variations.get(name, {}).get(stage.name)
    return {
        **({} if options is None else {"options": repr(options)}),
        "weights": work.encoders[name].weights,
        "training images": train.content,
        "classes": ", ".join(train.classes),
        "seeds": " ".join(map(str, plan.seeds)),
        "budget": repr(plan.budget),
        "recipe": plan.recipe,
        "blocks": str(work.encoders[name].blocks),
        "img_size": str(work.encoders[name].backbone.img_size),
    }


def test_facts(work: Work, stage: Stage) -> dict[str, str]:
    """The test's part; its images are known by name and size until they are read."""
    return {
        "test images by name and size": work.sets[stage.labels][1].listing,
        "published": str(work.plan.published),
    }


def choice_file(plan: Plan, name: str, stage: str) -> Path:
    """Where a choice is kept."""
    return plan.out / "choices" / name / f"{stage}.json"


def outcome_files(plan: Plan, name: str, stage: Stage) -> dict[str, Path]:
    """Row -> where its outcomes are kept."""
    folder = plan.out / "outcomes" / name
    return {row.name: folder / f"{row.name}.npy" for row in stage.rows_of_report}


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
        seconds = time.monotonic() - begun + _took(results, f"{name} {stage.name} ")
        record.finished(f"choose {name} {stage.name}", experiment.facts[name, stage.name], seconds)
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
        seconds = time.monotonic() - begun + _took(results, f"test {name} {stage.name} ")
        facts = experiment.test_facts(name, stage)
        record.finished(f"score {name} {stage.name}", facts, seconds)
        wait_for_all()
    results.outcomes |= {(name, row): np.load(file) for row, file in files.items()}


def _took(results: Results, job: str) -> float:
    """Seconds of all jobs whose names begin so."""
    return sum(seconds for name, seconds in results.took.items() if name.startswith(job))


@contextmanager
def _failures(results: Results, what: str, line: ProgressLine) -> Iterator[None]:
    """What a user can mend ends this part alone, and stands in the report."""
    try:
        yield
    except MaskSSLError as error:
        results.failed[what] = str(error)
        line.say(f"{what} failed: {error}")
