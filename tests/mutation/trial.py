"""One mutant, one process: the tests that run its lines, until one of them fails."""

import ast
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_loader
from pathlib import Path
from types import CodeType

import pytest

from .baseline import COMMON, Baseline
from .operators import Mutant, mutants_of

NO_TESTS = 5  # pytest's exit code


@dataclass(frozen=True)
class Place:
    """Which mutant: the n-th of a file."""

    file: str
    number: int

    def read(self) -> tuple[ast.Module, Mutant]:
        """A fresh tree, and the mutant that changes it."""
        tree = ast.parse(Path(self.file).read_text())
        return tree, mutants_of(tree)[self.number]


@dataclass
class Trial:
    """A mutant on trial.

    Attributes:
        place: which one.
        child: process id.
        deadline: on time.monotonic's clock.
    """

    place: Place
    child: int
    deadline: float

    def verdict(self) -> str | None:
        """'noticed', 'survived' or 'timeout', or None while it runs."""
        done, status = os.waitpid(self.child, os.WNOHANG)
        if done:
            survived = os.waitstatus_to_exitcode(status) in (0, NO_TESTS)
            return "survived" if survived else "noticed"
        if time.monotonic() < self.deadline:
            return None
        os.killpg(self.child, signal.SIGKILL)
        os.waitpid(self.child, 0)
        return "timeout"


def start(place: Place, baseline: Baseline) -> Trial | None:
    """Fork a process that runs the tests of a mutant; None where no test runs its lines."""
    _, mutant = place.read()
    tests = baseline.tests_of(place.file, *mutant.body, at_import=not mutant.scope)
    if not tests:
        return None
    seconds = 60 + 5 * sum(baseline.seconds[test] for test in tests)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setpgid(0, 0)
            silence = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silence, 1)
            os.dup2(silence, 2)
            sys.meta_path.insert(0, _Planted(place))
            status = _run(tests)
        finally:
            os._exit(status)
    return Trial(place, child, time.monotonic() + seconds)


def _run(tests: Sequence[str]) -> int:
    files = list(dict.fromkeys(test.split("::")[0] for test in tests))
    return int(pytest.main([*COMMON, "-x", *files], plugins=[_Chosen(tests)]))


class _Chosen:
    """A pytest plugin: these tests, in this order."""

    def __init__(self, tests: Sequence[str]) -> None:
        self.order = {test: place for place, test in enumerate(tests)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if item.nodeid in self.order]
        items.sort(key=lambda item: self.order[item.nodeid])


class _Planted(MetaPathFinder):
    """Imports one module from its changed source."""

    def __init__(self, place: Place) -> None:
        self.place = place
        parts = Path(place.file).with_suffix("").parts
        self.name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        if fullname != self.name:
            return None
        loader = _Loader(fullname, str(Path(self.place.file).resolve()))
        loader.place = self.place
        return spec_from_loader(fullname, loader)


class _Loader(SourceFileLoader):
    place: Place

    def get_code(self, fullname: str) -> CodeType:
        tree, mutant = self.place.read()
        mutant.plant()
        return compile(tree, self.path, "exec")
