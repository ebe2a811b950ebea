"""Pretraining, resuming, kNN, probe and fine-tuning where mmcv has no ops, and no mmseg and mmdet.

Once with this environment's packages, of which these cannot be imported; once where people are:
with mmengine 0.10.7, mmcv-lite 2.1.0 and mmpretrain 1.2.0 of open-mmlab, in an environment of
their own.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from maskssl.quickstart.scenes.writer import write_scenes
from tests.blocked_imports import BLOCKED

NUM_TRAIN, NUM_VAL, BATCH = 64, 16, 32


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("no_ops") / "s"
    sizes = dict(num_train=NUM_TRAIN, num_val=NUM_VAL, num_dense_train=1, num_dense_val=1)
    return write_scenes(folder, **sizes)


@pytest.fixture(scope="module")
def stock_python(repository) -> Path:
    """The Python of the environment beside this one; made here if it is not there."""
    made = subprocess.run(
        ["bash", "tools/stock_environment.sh"],
        cwd=repository,
        env={**os.environ, "MASKSSL_VENV": sys.prefix},
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    return Path(made.stdout.strip())


def run(python: str | Path, repository: Path, *words: object) -> str:
    ran = subprocess.run(
        [str(python), "-W", "ignore", *map(str, words)],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-3000:]
    return ran.stdout


@pytest.fixture(scope="module")
def blocked(scenes, repository, tmp_path_factory) -> dict[str, Any]:
    """What the stages left with this environment's packages."""
    words = ("-m", "tests.blocked_imports", "tests/stages_without_ops.py", scenes)
    told = run(sys.executable, repository, *words, tmp_path_factory.mktemp("blocked"))
    return json.loads(told.splitlines()[-1])


@pytest.fixture(scope="module")
def stock(stock_python, scenes, repository, tmp_path_factory) -> dict[str, Any]:
    """The same with the stock packages."""
    words = ("tests/stages_without_ops.py", scenes, tmp_path_factory.mktemp("stock"))
    return json.loads(run(stock_python, repository, *words).splitlines()[-1])


@pytest.mark.parametrize("packages", ["blocked", "stock"])
def test_every_stage_without_ops_runs(packages, request):
    told = request.getfixturevalue(packages)
    steps = NUM_TRAIN // BATCH
    assert told["iterations"] == [steps, 2 * steps]
    assert told["resumed"] == 1.0  # every tensor of the blocks moved on
    assert len(told["losses"]["pretrain"]) == 2 * steps
    assert told["linear"] == 0.0  # the probe's encoder is frozen
    assert told["finetune"] == 1.0
    votes = told["knn"]["accuracy/top1"] * NUM_VAL / 100
    assert 0 <= votes <= NUM_VAL and votes == pytest.approx(round(votes))


def test_the_stock_packages_give_the_same_figures(blocked, stock, repository):
    pinned = (repository / "requirements" / "stock.in").read_text()
    assert stock["versions"] == re.findall(r"==(\S+)", pinned)
    assert blocked["versions"] != stock["versions"]
    for name, losses in stock["losses"].items():
        assert losses == pytest.approx(blocked["losses"][name], rel=1e-4), name
    assert stock["knn"] == blocked["knn"]


def test_the_doctor_says_what_is_missing_and_what_works(blocked):
    assert blocked["missing"] == list(BLOCKED)
    statuses = blocked["doctor"]
    assert statuses["pretraining, probing, kNN"] == "ok" and "refused" not in statuses.values()
    assert statuses["segmentation"] == statuses["detection"] == "warn"


def test_the_doctor_accepts_the_stock_packages_alone(stock_python, repository):
    told = json.loads(run(stock_python, repository, "-m", "maskssl", "doctor", "--json"))
    old = [row["detail"] for row in told["findings"] if row["name"] == "old open-mmlab"]
    assert len(old) == 3 and all("no release since 2024" in detail for detail in old)
    statuses = {row["name"]: row["status"] for row in told["findings"]}
    assert statuses["pretraining, probing, kNN"] == "ok"
    assert statuses["segmentation"] == statuses["detection"] == "absent"
