"""What tests of any folder may ask for."""

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope

import maskssl.registration  # noqa: F401  as every tool does
from tests.wheel import checkout, installed, wheel  # noqa: F401  fixtures

ROOT = Path(__file__).resolve().parents[1]

# Files whose tests start other interpreters, each of which imports mmpretrain (12 s of a CPU).
STARTING = (
    *("test_commands", "test_distributed", "test_launch_scripts", "test_packaging"),
    *("test_quickstart", "test_ranks", "test_resume", "test_sharding", "test_without_ops"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow, for ``-m 'not slow'``, what starts interpreters."""
    for item in items:
        if "run_python" in getattr(item, "fixturenames", ()) or item.path.stem in STARTING:
            item.add_marker("slow")


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test draws the same numbers, whichever tests ran before it."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True, scope="module")
def unscoped() -> Iterator[None]:
    """Default scopes that runners leave behind do not reach the next file's registries."""
    DefaultScope._instance_dict.clear()
    yield
    DefaultScope._instance_dict.clear()


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def run_python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """``run_python('tools/doctor.py', '--json')``: this Python, from the checkout."""

    def run(
        *arguments: str | Path,
        cwd: str | Path = ROOT,
        env: Mapping[str, str] | None = None,
        timeout: float = 300,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            timeout=timeout,
            capture_output=True,
            text=True,
        )

    return run
