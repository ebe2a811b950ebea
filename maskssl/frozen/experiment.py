"""The job: features, choices on training images, and then, once, the test images."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import MaskSSLError
from ..evaluation.splits import hold_out
from ..progress import ProgressLine
from ..transfer.record import Record, digest_of_files, open_record
from .budgets import BUDGETS
from .encoders import RANDOM, Encoder, open_encoder
from .feature_store import POOLED, TOKENS, Extraction, FeatureSet, features_of
from .image_set import ImageSet, labelled_sets
from .measures import MEASURES, Measure, Part, Setting

PACKAGE = Path(__file__).resolve().parents[1]
HELD_OUT = 0.2  # share of the training images that settings are chosen on


@dataclass(frozen=True)
class Plan:
    """What is asked for.

    Attributes:
        checkpoints: files, work dirs, or ``random:CHECKPOINT``; one may stand as NAME=PATH.
        data: folder of train/CLASS/* and test/CLASS/*.
        out: results and report.
        cache: features.
        stages: names of measures.
        seeds: of splits, orders, starts and draws.
        preset: name of a budget.
        floor: measure random weights of the first checkpoint's architecture too.
        published: also pick settings on the test images, and say what that was worth.
        blocks: counted from 1; None for all.
        img_size: side in pixels; None for that of each pretraining.
        batch_size: images of an extraction step.
        num_workers: processes that decode.
        device: of everything.
    """

    checkpoints: tuple[str, ...]
    data: Path
    out: Path
    cache: Path
    stages: tuple[str, ...]
    seeds: tuple[int, ...]
    preset: str = "quick"
    floor: bool = True
    published: bool = False
    blocks: tuple[int, ...] | None = None
    img_size: int | None = None
    batch_size: int = 64
    num_workers: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def named(self) -> dict[str, str]:
        """Name -> checkpoint as it was given, the random floor last.

        Raises:
            MaskSSLError: two of one name.
        """
        pairs = [_named(given) for given in self.checkpoints]
        first = self.checkpoints[0].split("=", 1)[-1]
        if self.floor and not any(path.startswith(RANDOM) for _, path in pairs):
            pairs.append(("random", f"{RANDOM}{first}"))
        if len({name for name, _ in pairs}) < len(pairs):
            raise MaskSSLError(
                f"checkpoints need names that differ, not {', '.join(n for n, _ in pairs)}; give "
                "NAME=PATH"
            )
        return dict(pairs)


@dataclass
class Results:
    """All that the report is made of.

    Attributes:
        train: its images.
        test: the same.
        encoders: name -> encoder, of those that could be read.
        failed: 'NAME' or 'NAME STAGE' -> reason.
        choices: (name, stage) -> settings and how each did on the held out training images.
        outcomes: (name, stage) -> (settings, seeds, N) ranks on the test images; the chosen setting
            stands first, and alone unless the published protocol is asked for.
        seconds: job -> seconds.
    """

    train: ImageSet
    test: ImageSet
    encoders: dict[str, Encoder]
    failed: dict[str, str] = field(default_factory=dict)
    choices: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    outcomes: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def run_experiment(plan: Plan, line: ProgressLine) -> Results:
    """Measure every checkpoint; the same call again goes on where it was broken off.

    First everything is chosen, on training images alone; no test image is opened before that is
    done for all checkpoints. Then each chosen setting is fitted on all training images and scores
    the test images, once.

    Raises:
        MaskSSLError: the data cannot be used, or plan.out holds another experiment.
    """
    measures = [MEASURES[name] for name in plan.stages]
    train, test = labelled_sets(plan.data)
    results = Results(train, test, {})
    for name, given in plan.named.items():
        with _failures(results, name, line):
            results.encoders[name] = open_encoder(
                given, name, plan.device, plan.blocks, plan.img_size
            )
    if not results.encoders:
        raise MaskSSLError(f"no checkpoint could be read: {'; '.join(results.failed.values())}")
    record = open_record(plan.out, experiment_facts(plan, results))
    for name in list(results.encoders):
        for measure in measures:
            with _failures(results, f"{name} {measure.name}", line):
                _choose(plan, results, name, measure, record, line)
    for name in list(results.encoders):
        for measure in measures:
            if (name, measure.name) in results.choices:
                with _failures(results, f"{name} {measure.name}", line):
                    _score(plan, results, name, measure, record, line)
    results.seconds = dict(record.seconds)
    return results


def experiment_facts(plan: Plan, results: Results) -> dict[str, str]:
    """What makes this experiment; test images are known by name and size until they are read."""
    code = {path.relative_to(PACKAGE).as_posix(): path for path in PACKAGE.rglob("*.py")}
    return {
        "train": results.train.content,
        "test": results.test.listing,
        "weights": json.dumps({n: e.weights for n, e in results.encoders.items()}),
        "stages": " ".join(plan.stages),
        "seeds": " ".join(map(str, plan.seeds)),
        "preset": plan.preset,
        "published": str(plan.published),
        "blocks": str(plan.blocks),
        "img_size": str(plan.img_size),
        "code": digest_of_files(code),
    }


def _choose(
    plan: Plan, results: Results, name: str, measure: Measure, record: Record, line: ProgressLine
) -> None:
    """Accuracy of every setting on held out training images, the mean over the seeds' splits."""
    file = plan.out / "choices" / name / f"{measure.name}.json"
    job = f"choose {name} {measure.name}"
    if job not in record.seconds:
        begun = time.monotonic()
        features = _features(plan, results, name, results.train, line)
        splits = [hold_out(features.labels, HELD_OUT, seed) for seed in plan.seeds]
        settings = measure.settings(features, BUDGETS[plan.preset], len(splits[0][0]))
        accuracies: list[float | None] = [None] * len(settings)
        chosen = 0
        if len(settings) > 1:
            line.say(f"{name}: choosing for {measure.title}")
            right = [
                measure.ranks(Part(features, kept), Part(features, held), settings, seed) == 0
                for seed, (kept, held) in zip(plan.seeds, splits, strict=True)
            ]
            means = np.mean([found.mean(axis=1) for found in right], axis=0)
            accuracies, chosen = means.tolist(), int(means.argmax())
        table = [dict(setting=s, held_out=a) for s, a in zip(settings, accuracies, strict=True)]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(dict(chosen=settings[chosen], table=table), indent=1))
        record.finished(job, time.monotonic() - begun)
    results.choices[name, measure.name] = json.loads(file.read_text())


def _score(
    plan: Plan, results: Results, name: str, measure: Measure, record: Record, line: ProgressLine
) -> None:
    """Fit the chosen setting on all training images, then rank the test images."""
    file = plan.out / "outcomes" / name / f"{measure.name}.npy"
    job = f"score {name} {measure.name} on {results.test.content[:12]}"
    if job not in record.seconds:
        begun = time.monotonic()
        train = _features(plan, results, name, results.train, line)
        test = _features(plan, results, name, results.test, line)
        line.say(f"{name}: {measure.title} on the test images")
        choice = results.choices[name, measure.name]
        settings: list[Setting] = [choice["chosen"]]
        if plan.published:
            settings += [row["setting"] for row in choice["table"]]
        parts = Part(train, train.everything), Part(test, test.everything)
        seeds = plan.seeds if measure.seeded else plan.seeds[:1]
        ranks = [measure.ranks(*parts, settings, seed) for seed in seeds]
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, np.stack(ranks, axis=1).astype(np.int32))  # (settings, seeds, N)
        record.finished(job, time.monotonic() - begun)
    results.outcomes[name, measure.name] = np.load(file)


def _features(
    plan: Plan, results: Results, name: str, images: ImageSet, line: ProgressLine
) -> FeatureSet:
    kinds = (POOLED, TOKENS) if "attentive" in plan.stages else (POOLED,)
    how = Extraction(plan.cache, kinds, plan.batch_size, plan.num_workers, plan.device)
    return features_of(results.encoders[name], images, how, line)


@contextmanager
def _failures(results: Results, what: str, line: ProgressLine) -> Iterator[None]:
    """What a user can mend ends this part alone, and stands in the report."""
    try:
        yield
    except MaskSSLError as error:
        results.failed[what] = str(error)
        line.say(f"{what} failed: {error}")


def _named(given: str) -> tuple[str, str]:
    """(name, path) of NAME=PATH, or of a path alone by its last part."""
    name, separator, path = given.partition("=")
    if not separator:
        name, path = Path(given.removeprefix(RANDOM)).stem, given
        name = f"random-{name}" if given.startswith(RANDOM) else name
    return re.sub(r"[^\w.-]+", "-", name), path
