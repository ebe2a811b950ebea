"""An experiment before it runs: what is opened, what is done already, where results are kept."""

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
from .measure import Measure
from .plan import Plan
from .processes import rank_and_world
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
        preflight: what was said before it began.
    """

    sets: dict[str, Sets]
    encoders: dict[str, Encoder]
    failed: dict[str, str] = field(default_factory=dict)
    choices: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    outcomes: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
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
        scored_before: names of the pairs that earlier calls have scored.
    """

    work: Work
    pairs: list[tuple[str, Stage]]
    facts: Mapping[tuple[str, str], Facts]
    record: Record
    results: Results
    scored_before: list[tuple[str, str]]

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


def open_experiment(plan: Plan, line: ProgressLine) -> Experiment:
    """Read checkpoints and data, and look for results of other inputs before any is computed.

    Raises:
        MaskSSLError: the data cannot be used, or plan.out has a result of other inputs.
    """
    stages = [STAGES[name] for name in plan.stages]
    work = Work(plan, line, read_sets(plan, stages), kinds_read(stages))
    results = Results(work.sets, work.encoders)
    for name, given in plan.named.items():
        with failures(results, name, line):
            work.encoders[name] = open_encoder(
                given, name, plan.device, plan.blocks, plan.img_size, plan.seeds[0]
            )
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
    scored = []
    for name, stage in pairs:
        own = facts[name, stage.name]
        record.is_done(f"choose {name} {stage.name}", own)
        if record.is_done(f"score {name} {stage.name}", {**own, **test_facts(work, stage)}):
            scored.append((name, stage.name))
    return Experiment(work, pairs, facts, record, results, scored_before=scored)


def kinds_read(stages: Sequence[Stage]) -> dict[str, tuple[str, ...]]:
    """Kind of labels -> the kinds of features that frozen rows of it read."""
    measures = [stage for stage in stages if isinstance(stage, Measure)]
    return {
        labels: tuple(
            dict.fromkeys(kind for one in measures if one.labels == labels for kind in one.kinds)
        )
        for labels in {one.labels for one in measures}
    }


def stage_facts(work: Work, name: str, stage: Stage) -> dict[str, str]:
    """What the choice of a stage's settings comes from, without the code."""
    plan, train = work.plan, work.sets[stage.labels][0]
    options = plan.variations.get(name, {}).get(stage.name)
    return {
        **({} if options is None else {"options": repr(options)}),
        **stage.config_facts(work, name),
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


@contextmanager
def failures(results: Results, what: str, line: ProgressLine) -> Iterator[None]:
    """What a user can mend ends this part alone, and stands in the report."""
    try:
        yield
    except MaskSSLError as error:
        results.failed[what] = str(error)
        line.say(f"{what} failed: {error}")
