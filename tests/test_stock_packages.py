"""Where people are: mmengine 0.10.7, mmcv-lite 2.1.0 and mmpretrain 1.2.0 of open-mmlab."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from maskssl.transfer.scenes.writer import write_scenes


@pytest.fixture(scope="module")
def python(repository) -> Path:
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


def run(python: Path, repository: Path, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(python), "-W", "ignore", *map(str, words)],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_pretraining_resuming_knn_probe_and_finetuning(python, repository, tmp_path):
    scenes = write_scenes(
        tmp_path / "s", num_train=64, num_val=8, num_dense_train=1, num_dense_val=1
    )
    ran = run(python, repository, "-m", "tests.stock_stages", scenes, tmp_path / "out")
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-3000:]
    told = json.loads(ran.stdout.splitlines()[-1])
    pinned = (repository / "requirements" / "stock.in").read_text()
    assert told["versions"] == re.findall(r"==(\S+)", pinned)
    assert told["iterations"] == [2, 4] and told["moved"]
    assert 0 <= told["knn"]["accuracy/top1"] <= 100
    assert told["checkpoints"] == [
        "finetune/epoch_1.pth", "linear/epoch_1.pth", "pretrain/epoch_1.pth", "pretrain/epoch_2.pth"
    ]  # fmt: skip


def test_the_doctor_accepts_the_old_line_alone(python, repository):
    ran = run(python, repository, "-m", "maskssl", "doctor", "--json")
    assert ran.returncode == 0, ran.stdout
    told = json.loads(ran.stdout)
    old = [row["detail"] for row in told["findings"] if row["name"] == "old open-mmlab"]
    assert len(old) == 3 and all("no release since 2024" in detail for detail in old)
    statuses = {row["name"]: row["status"] for row in told["findings"]}
    assert statuses["pretraining, probing, kNN"] == "ok"
    assert statuses["segmentation"] == statuses["detection"] == "absent"
