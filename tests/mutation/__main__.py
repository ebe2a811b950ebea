"""Plant small mistakes, one at a time, and see which of them the tests notice.

Usage, from the checkout::

    python -m tests.mutation --sample 300 --seed 0

The process imports what the tests need once and forks for every mistake. About 20 to 40
minutes on two cores with ``--processes 2``. Not part of the test suite. Survivors that were
looked at stand with their reasons in tests/mutation/survivors.md.
"""

import argparse
import ast
import functools
import gc
import importlib
import json
import os
import random
import sys
import time
from contextlib import suppress
from pathlib import Path

from .areas import TESTS, source_files
from .baseline import Baseline, measure
from .operators import mutants_of
from .trial import Place, Trial, start

ROOT = Path(__file__).resolve().parents[2]
NOTICED = ("noticed", "timeout")  # a loop without end is noticed by whoever waits


def main() -> None:
    options = _parsed()
    os.chdir(ROOT)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    files = source_files(ROOT)
    places = [
        Place(file, number)
        for file in files
        if not options.only or options.only in file
        for number in range(len(mutants_of(ast.parse(Path(file).read_text()))))
    ]
    if options.again:  # by what they are, as another sample is drawn once a line has changed
        before = json.loads(options.again.read_text())
        unnoticed = {entry["mutant"] for entry in before if entry["verdict"] not in NOTICED}
        where = {mutant.split(":")[0] for mutant in unnoticed}
        near = [place for place in places if place.file in where]
        chosen = [place for place in near if _described(place) in unnoticed]
    else:
        chosen = random.Random(options.seed).sample(places, min(options.sample, len(places)))
    _say(f"{len(chosen)} of {len(places)} mutants")
    if options.list:
        for place in chosen:
            _say(_described(place))
        return
    began = time.monotonic()
    if options.baseline and options.baseline.exists():
        baseline = Baseline.read(options.baseline)
    else:
        baseline = measure(files, TESTS)
    if options.baseline:
        baseline.write(options.baseline)
    for test in baseline.failing:
        _say(f"left out, as it fails without any mistake: {test}")
    _say(f"{len(baseline.seconds)} tests ran in {time.monotonic() - began:.0f} s")
    for name in baseline.modules:
        with suppress(Exception):  # what a platform lacks the tests do without
            importlib.import_module(name)
    gc.freeze()
    verdicts = _tried(chosen, baseline, options)
    noticed = sum(verdict in NOTICED for verdict in verdicts.values())
    share = 100 * noticed / max(1, len(verdicts))
    minutes = (time.monotonic() - began) / 60
    _say(f"{noticed} of {len(verdicts)} noticed ({share:.1f} %) in {minutes:.1f} minutes")


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--sample", type=int, default=300, help="how many mutants")
    parser.add_argument("--seed", type=int, default=0, help="which ones")
    parser.add_argument("--processes", type=int, default=1, help="how many at once")
    parser.add_argument("--only", help="files whose path contains this")
    parser.add_argument("--list", action="store_true", help="show the mutants and stop")
    parser.add_argument("--baseline", type=Path, help="keep what the tests cover in this file")
    parser.add_argument(
        "--again", type=Path, help="in place of a sample those this --out has unnoticed"
    )
    parser.add_argument("--out", type=Path, help="write the verdicts as JSON")
    return parser.parse_args()


def _tried(
    places: list[Place], baseline: Baseline, options: argparse.Namespace
) -> dict[Place, str]:
    """Verdicts, in the order in which they fell; those other than NOTICED are shown at once."""
    waiting, running = places[::-1], list[Trial]()
    verdicts: dict[Place, str] = {}

    def settle(place: Place, verdict: str) -> None:
        verdicts[place] = verdict
        if verdict not in NOTICED:
            _say(f"[{len(verdicts)}/{len(places)}] {verdict}: {_described(place)}")
        if options.out:
            entries = [dict(mutant=_described(p), verdict=v) for p, v in verdicts.items()]
            options.out.write_text(json.dumps(entries, indent=1))

    while waiting or running:
        while waiting and len(running) < options.processes:
            place = waiting.pop()
            trial = start(place, baseline)
            if trial is None:
                settle(place, "no test")
            else:
                running.append(trial)
        time.sleep(0.02)
        for trial in list(running):
            if verdict := trial.verdict():
                running.remove(trial)
                settle(trial.place, verdict)
    return verdicts


@functools.cache
def _described(place: Place) -> str:
    _, mutant = place.read()
    code = Path(place.file).read_text().splitlines()[mutant.line - 1].strip()
    where = f"{place.file}:{mutant.line} {mutant.scope}"
    return f"{where} [{mutant.kind}] {mutant.change}   in   {code}"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
