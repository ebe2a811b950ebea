"""What tests of any folder may ask for."""

import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer

import maskssl.registration  # noqa: F401  as every tool does
from tests.support import python
from tests.warm import warm_python
from tests.wheel import checkout, installed, wheel  # noqa: F401  fixtures

ROOT = Path(__file__).resolve().parents[1]

# Files whose tests start other processes.
STARTING = (
    *("test_commands", "test_distributed", "test_launch_scripts", "test_packaging"),
    *(
        "test_preemption",
        "test_processes",
        "test_quickstart",
        "test_ranks",
        "test_resume",
        "test_sharding",
        "test_without_ops",
    ),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow, for ``-m 'not slow'``, what starts interpreters."""
    for item in items:
        starts = {"run_python", "run_warm"} & set(getattr(item, "fixturenames", ()))
        if starts or item.path.stem in STARTING:
            item.add_marker("slow")


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test draws the same numbers, whichever tests ran before it."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True, scope="module")
def forgotten() -> Iterator[None]:
    """Scopes and visualizers that runners leave behind do not reach the next file's runners."""
    kinds = [DefaultScope, Visualizer]
    for kind in kinds:
        kinds += kind.__subclasses__()
        kind._instance_dict.clear()
    yield
    for kind in kinds:
        kind._instance_dict.clear()


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout."""
    return ROOT


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the warm Python if a test will want it."""
    if any(item.get_closest_marker("slow") for item in session.items):
        context = warm_python(Path(tempfile.mkdtemp(prefix="warm")))
        os.environ["MASKSSL_TEST_PYTHON"] = context.__enter__()
        session.config.add_cleanup(lambda: context.__exit__(None, None, None))


Run = Callable[..., subprocess.CompletedProcess[str]]


def runner_of(python: Callable[[], str]) -> Run:
    """``run('tools/doctor.py', '--json')``, from the checkout unless ``cwd`` is given."""

    def run(
        *arguments: str | Path,
        cwd: str | Path = ROOT,
        env: Mapping[str, str] | None = None,
        timeout: float = 300,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python(), *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            timeout=timeout,
            capture_output=True,
            text=True,
        )

    return run


@pytest.fixture(scope="session")
def run_python() -> Run:
    """Run a fresh interpreter: what is tested is about starting, or about what is imported."""
    return runner_of(lambda: sys.executable)


@pytest.fixture(scope="session")
def run_warm() -> Run:
    """Run the warm Python, see tests/warm."""
    return runner_of(python)
