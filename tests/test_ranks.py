"""Two processes with batch b are one with batch 2b, and their evaluation is that of one."""

import os
import subprocess
from pathlib import Path

import pytest
import torch

from tests import ranks_worker
from tests.support import python

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    command = [python(), "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = subprocess.run(
        [*command, "tests/ranks_worker.py", str(folder)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return torch.load(folder / "found.pt", weights_only=True)


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    ranks_worker.main(folder)
    return torch.load(folder / "found.pt", weights_only=True)


@pytest.mark.parametrize("case", ["bootmae", "byol", "infonce"])
def test_loss_and_gradients_of_two_processes_are_those_of_one(case, one, two):
    assert two[case]["losses"] == pytest.approx(one[case]["losses"], rel=1e-5)
    for mine, theirs in zip(one[case]["gradients"], two[case]["gradients"], strict=True):
        assert mine.keys() == theirs.keys()
        for name, gradient in mine.items():
            torch.testing.assert_close(theirs[name], gradient, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", ["bootmae", "byol", "infonce"])
def test_teachers_are_the_same_on_all_ranks_after_some_steps(case, one, two):
    first, second = two[case]["teachers"]
    assert torch.equal(first, second)
    torch.testing.assert_close(first, one[case]["teachers"][0], rtol=1e-5, atol=1e-6)


def test_evaluation_over_ranks_is_that_of_one_with_a_set_that_two_does_not_divide(one, two):
    assert two["accuracy"] == pytest.approx(one["accuracy"])
    assert 0 < one["accuracy"]["accuracy/top2"] < 100


def test_neighbours_over_ranks_are_those_of_one(one, two):
    """Accuracy, bank and labels, in the order of the set."""
    assert two["neighbours"] == pytest.approx(one["neighbours"])
    assert one["neighbours"][-9:] == [0, 1, 2] * 3
