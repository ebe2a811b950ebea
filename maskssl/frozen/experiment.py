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
from ..transfer.record import digest_of_files
from .encoders import Encoder, open_encoder
from .fingerprints import Facts, Record, open_record
from .plan import Plan
from .preflight import preflight
from .processes import rank_and_world, wait_for_all
from .rows import Stage
from .sets import read_sets
from .stages import STAGES
from .work import Sets, Work

PACKAGE = Path(__file__).resolve().parents[1]


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
        preflight: what was said before it began.
    """

    sets: dict[str, Sets]
    encoders: dict[str, Encoder]
    failed: dict[str, str] = field(default_factory=dict)
    choices: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    outcomes: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    preflight: list[str] = field(default_factory=list)


def run_experiment(plan: Plan, line: ProgressLine) -> Results:
    """Measure every checkpoint; the same call again goes on where it was broken off.

    First everything is chosen, on training images alone; no test image is opened before that is
    done for all checkpoints. Then each chosen setting is fitted on all training images and scores
    the test images, once.

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
    code = digest_of_files({p.relative_to(PACKAGE).as_posix(): p for p in PACKAGE.rglob("*.py")})
    facts = {
        (name, stage.name): stage_facts(work, name, stage) | dict(code=code)
        for name in work.encoders
        for stage in stages
    }
    refuse_stale(work, stages, facts, record)
    results.preflight = preflight(work)
    for said in results.preflight:
        line.say(said)
    if plan.only_preflight:
        return results
    for name in work.encoders:
        for stage in stages:
            with _failures(results, f"{name} {stage.name}", line):
                _choose(work, results, name, stage, facts[name, stage.name], record)
    for name in work.encoders:
        for stage in stages:
            if (name, stage.name) in results.choices:
                with _failures(results, f"{name} {stage.name}", line):
                    _score(work, results, name, stage, facts[name, stage.name], record)
    results.seconds = record.seconds
    return results


def stage_facts(work: Work, name: str, stage: Stage) -> dict[str, str]:
    """What the choice of a stage's settings comes from, without the code."""
    plan, train = work.plan, work.sets[stage.labels][0]
    return {
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


def refuse_stale(
    work: Work, stages: Sequence[Stage], facts: Mapping[tuple[str, str], Facts], record: Record
) -> None:
    """Look for results of other inputs before anything is computed.

    Raises:
        MaskSSLError: there is one.
    """
    for name in work.encoders:
        for stage in stages:
            own = facts[name, stage.name]
            record.is_done(f"choose {name} {stage.name}", own)
            record.is_done(f"score {name} {stage.name}", {**own, **test_facts(work, stage)})


def _choose(
    work: Work, results: Results, name: str, stage: Stage, facts: Facts, record: Record
) -> None:
    """What training images decide, kept in a file."""
    file = work.plan.out / "choices" / name / f"{stage.name}.json"
    job = f"choose {name} {stage.name}"
    if not (record.is_done(job, facts) and file.is_file()):
        begun = time.monotonic()
        choice = stage.choose(work, name)
        if record.writes:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(choice, indent=1))
        record.finished(job, facts, time.monotonic() - begun)
        wait_for_all()
    results.choices[name, stage.name] = json.loads(file.read_text())


def _score(
    work: Work, results: Results, name: str, stage: Stage, facts: Facts, record: Record
) -> None:
    """Outcomes on the test images, a file for each row."""
    folder = work.plan.out / "outcomes" / name
    job = f"score {name} {stage.name}"
    content = work.sets[stage.labels][1].content
    facts = {**facts, **test_facts(work, stage), "test images": content}
    files = {row.name: folder / f"{row.name}.npy" for row in stage.rows_of_report}
    if not (record.is_done(job, facts) and all(file.is_file() for file in files.values())):
        begun = time.monotonic()
        outcomes = stage.score(work, name, results.choices[name, stage.name])
        if record.writes:
            folder.mkdir(parents=True, exist_ok=True)
            for row, array in outcomes.items():
                small = array if array.dtype == np.float32 else array.astype(np.int32)
                np.save(files[row], small)
        record.finished(job, facts, time.monotonic() - begun)
        wait_for_all()
    results.outcomes |= {(name, row): np.load(file) for row, file in files.items()}


@contextmanager
def _failures(results: Results, what: str, line: ProgressLine) -> Iterator[None]:
    """What a user can mend ends this part alone, and stands in the report."""
    try:
        yield
    except MaskSSLError as error:
        results.failed[what] = str(error)
        line.say(f"{what} failed: {error}")
