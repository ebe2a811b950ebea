"""What the tests are without any mistake: which of them run which lines, and how long."""

import json
import multiprocessing
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import coverage
import pytest

from .areas import LEFT_OUT

_FEW = 5  # tests that a file has by chance, as the first to import it
COMMON = ["-q", "-p", "no:cacheprovider", "--no-header", "-W", "ignore"]


@dataclass
class Baseline:
    """The tests of all areas, run once.

    Attributes:
        seconds: test -> how long it took with its fixtures.
        covers: file -> line -> tests that run it; lines run at import have none.
        failing: tests that fail without any mistake, and so tell nothing.
        modules: what was imported besides this project, to be there before the first mutant.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    covers: dict[str, dict[int, list[str]]] = field(default_factory=dict)
    failing: list[str] = field(default_factory=list)
    modules: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> "Baseline":
        """What ``write`` has written; of use until sources or tests change."""
        found = cls(**json.loads(path.read_text()))
        for file, lines in found.covers.items():
            found.covers[file] = {int(line): tests for line, tests in lines.items()}
        return found

    def write(self, path: Path) -> None:
        """Keep it for another sample."""
        path.write_text(json.dumps(vars(self)))

    def tests_of(self, file: str, first: int, last: int, at_import: bool = False) -> list[str]:
        """The tests that run some line from first to last, the quick ones first.

        What runs at import belongs to whichever test imports first. Those of its file may see it,
        and those that import it to look at a table, which runs no line of it; or where the file is
        little else, those of the files around it.
        """
        lines = self.covers.get(file, {})
        if at_import:
            found = self._telling(lines) | self._importing(file)
            for folder in Path(file).parents:
                if len(found) >= _FEW:
                    break
                near = [
                    lines
                    for other, lines in self.covers.items()
                    if Path(other).is_relative_to(folder)
                ]
                found = set().union(*map(self._telling, near))
        else:
            found = self._telling(
                {line: tests for line, tests in lines.items() if first <= line <= last}
            )
        return sorted(found, key=lambda test: (self.seconds[test], test))

    def _importing(self, file: str) -> set[str]:
        name = ".".join(Path(file).with_suffix("").parts)
        wanted = re.compile(rf"^(from|import) {re.escape(name)}\b", re.MULTILINE)
        paths = {test: Path(test.split("::")[0]) for test in self.seconds}
        files = {path for path in paths.values() if path.exists()}
        telling = {path for path in files if wanted.search(path.read_text())}
        return {test for test, path in paths.items() if path in telling} - set(self.failing)

    def _telling(self, lines: Mapping[int, Sequence[str]]) -> set[str]:
        return {test for tests in lines.values() for test in tests} - set(self.failing)


class _Watch:
    """A pytest plugin: whose lines are counted now, and for how long."""

    def __init__(self, counter: coverage.Coverage) -> None:
        self.counter = counter
        self.seconds: dict[str, float] = {}
        self.failing: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failing.append(report.nodeid)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.counter.switch_context(item.nodeid)
        start = time.perf_counter()
        yield
        self.seconds[item.nodeid] = time.perf_counter() - start
        self.counter.switch_context("")


def measure(sources: Sequence[str], tests: Sequence[str]) -> Baseline:
    """Run the tests once, in a process of their own.

    Args:
        sources: files that will be changed.
        tests: files of tests.

    Raises:
        SystemExit: the tests cannot be run.
    """
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_measure, args=(sources, tests, there))
    child.start()
    there.close()
    try:
        return Baseline(**here.recv())
    except EOFError:
        raise SystemExit("the tests cannot be run; see above") from None
    finally:
        child.join()


def _measure(sources: Sequence[str], tests: Sequence[str], answer: Connection) -> None:
    counter = coverage.Coverage(data_file=None, include=list(sources), config_file=False)
    watch = _Watch(counter)
    counter.start()
    chosen = ["-k", " and ".join(f"not {name}" for name in LEFT_OUT), *tests]
    ended = pytest.main([*COMMON, "--tb=short", *chosen], plugins=[watch])
    counter.stop()
    if ended > pytest.ExitCode.TESTS_FAILED:
        return
    data = counter.get_data()
    covers = {
        str(Path(file).relative_to(Path.cwd())): {
            line: [test for test in known if test]
            for line, known in data.contexts_by_lineno(file).items()
        }
        for file in data.measured_files()
    }
    foreign = [
        name for name in sys.modules if not name.startswith(("maskssl", "tests", "conftest"))
    ]
    known = dict(seconds=watch.seconds, covers=covers)
    answer.send(dict(known, failing=watch.failing, modules=foreign))
