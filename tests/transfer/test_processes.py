"""Two gloo processes give one process's numbers, features and report."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from maskssl.__main__ import main
from maskssl.errors import MaskSSLError
from maskssl.transfer.processes import spread
from tests.support import python
from tests.transfer.scenes import save_encoder, write_maps, write_pictures

ROOT = Path(__file__).resolve().parents[2]
STAGES = ["knn", "linear", "logistic", "attentive", "lowshot-5", "patch-knn", "patch-linear"]


def test_one_process_does_all_tasks():
    assert spread([lambda: 1, lambda: 2, lambda: 3]) == [1, 2, 3]

    def broken():
        raise MaskSSLError("no")

    with pytest.raises(MaskSSLError, match="no"):
        spread([lambda: 1, broken])


def test_two_processes_give_the_numbers_of_one(tmp_path):
    data, maps = tmp_path / "data", tmp_path / "maps"
    write_pictures(data, "train", 7, 0)
    write_pictures(data, "test", 5, 1)
    write_maps(maps, "train", 7, 0)
    write_maps(maps, "val", 5, 1)
    words = ["transfer", str(save_encoder(tmp_path / "a.pth")), "--data", str(data)]
    words += ["--masks", str(maps), "--stages", *STAGES, "--seeds", "0", "1", "--no-floor"]
    main([*words, "--out", str(tmp_path / "one")])
    command = [python(), "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    two = ["-m", "maskssl", *words, "--launcher", "pytorch", "--out", str(tmp_path / "two")]
    done = subprocess.run(
        [*command, *two],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    reports = [
        json.loads((tmp_path / name / "report" / "report.json").read_text())
        for name in ("one", "two")
    ]
    for one, other in zip(*(report["measures"] for report in reports), strict=True):
        for mine, theirs in zip(one["cells"], other["cells"], strict=True):
            assert mine["seeds"] == theirs["seeds"] and mine["setting"] == theirs["setting"]
            assert mine["table"] == theirs["table"]
    for file in sorted((tmp_path / "one" / "outcomes").rglob("*.npy")):
        same = tmp_path / "two" / file.relative_to(tmp_path / "one")
        np.testing.assert_array_equal(np.load(file), np.load(same))
    stored = sorted((tmp_path / "one" / "features").rglob("*.npy"))
    assert len(stored) == 2 * (4 + 1) + 2 * (1 + 1)
    for file in stored:
        same = tmp_path / "two" / file.relative_to(tmp_path / "one")
        np.testing.assert_allclose(np.load(file), np.load(same), atol=1e-5)
    assert not list((tmp_path / "two" / "features").glob("*.partial*"))
