"""ZeRO 1 and 2 over two gloo processes, where DeepSpeed is installed: one process's numbers."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope

from maskssl.checkpoints.reading import read_checkpoint
from maskssl.engine.sharding.options import DeepSpeedOptions, ShardingError
from maskssl.engine.sharding.zero import ZeroOptimWrapper
from tests.support import python

ABSENT = importlib.util.find_spec("deepspeed") is None
needs_deepspeed = pytest.mark.skipif(
    ABSENT or torch.cuda.is_available(), reason="needs deepspeed, and a machine without GPU"
)
ZERO = DeepSpeedOptions(type="deepspeed")
CLOSE = dict(rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def worker(repository):
    path = repository / "tests" / "engine" / "sharding_worker.py"
    spec = importlib.util.spec_from_file_location("sharding_worker", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(worker, repository, tmp_path_factory):
    folder = tmp_path_factory.mktemp("zero")
    command = [python(), "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    paths = [str(repository), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    done = subprocess.run(
        [*command, worker.__file__, "deepspeed", str(folder)],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return folder


@pytest.fixture(scope="module")
def alone(worker, tmp_path_factory):
    """The same run in one process with the whole batch: (folder, runner, recorder)."""
    folder = tmp_path_factory.mktemp("alone")
    scopes = dict(DefaultScope._instance_dict)
    yield folder, *worker.run(folder, epochs=2)
    DefaultScope._instance_dict.clear()
    DefaultScope._instance_dict.update(scopes)


def assert_same_file(one, two):
    """Weights, teacher and optimizer of two checkpoints: keys, layout and values."""
    one, two = read_checkpoint(one), read_checkpoint(two)
    assert list(one) == list(two)
    assert list(one["state_dict"]) == list(two["state_dict"])
    for name, value in one["state_dict"].items():
        torch.testing.assert_close(two["state_dict"][name], value, **CLOSE)
    first, second = one["optimizer"], two["optimizer"]
    assert first["param_groups"] == second["param_groups"]
    assert first["state"].keys() == second["state"].keys()
    for index, entries in first["state"].items():
        assert entries.keys() == second["state"][index].keys()
        for key, value in entries.items():
            torch.testing.assert_close(second["state"][index][key], value, **CLOSE)


@needs_deepspeed
@pytest.mark.parametrize("stage", [1, 2])
def test_a_run_is_that_of_one_process(stage, folder, alone):
    single, _, recorder = alone
    found = torch.load(folder / "found.pt")[f"zero{stage}"]
    assert found["losses"] == pytest.approx(recorder.losses, abs=1e-5)
    assert found["norms"] == pytest.approx(recorder.norms, rel=1e-5)
    for name in ("epoch_1.pth", "epoch_2.pth"):
        assert_same_file(single / name, folder / f"zero{stage}" / name)


@needs_deepspeed
@pytest.mark.parametrize("stage", [1, 2])
def test_it_resumes_the_checkpoint_of_ddp(stage, folder, alone):
    single, _, recorder = alone
    found = torch.load(folder / "found.pt")[f"resumed{stage}"]
    assert found == pytest.approx(recorder.losses[3:], abs=1e-5)
    assert_same_file(single / "epoch_2.pth", folder / f"resumed{stage}" / "epoch_2.pth")


@needs_deepspeed
@pytest.mark.parametrize("stage", [1, 2])
def test_a_step_that_is_not_finite_is_left_out(stage, folder, worker, tmp_path):
    """As in one process: by the guard, which counts it, and the next steps are as before."""
    _, recorder = worker.run(tmp_path / "alone", epochs=2, broken=1)
    found = torch.load(folder / "found.pt")[f"broken{stage}"]
    assert not np.isfinite([recorder.losses[1], found["losses"][1]]).any()
    del recorder.losses[1], found["losses"][1]
    assert (
        len(set(found["losses"])) == 5 and len(set(found["norms"])) == 4
    )  # the fourth is left out by its gradient
    assert found["losses"] == pytest.approx(recorder.losses, abs=1e-5)
    assert found["norms"] == pytest.approx(recorder.norms, rel=1e-5)
    assert_same_file(tmp_path / "alone" / "epoch_2.pth", folder / f"broken{stage}" / "epoch_2.pth")


@needs_deepspeed
def test_its_checkpoint_is_resumed_by_one_process(worker, folder, alone, tmp_path):
    written = folder / "zero1" / "epoch_1.pth"
    worker.build().load_state_dict(read_checkpoint(written)["state_dict"], strict=True)
    _, recorder = worker.run(tmp_path / "back", epochs=2, seed=8, resume=written)
    assert recorder.losses == pytest.approx(alone[2].losses[3:], abs=1e-5)


@needs_deepspeed
def test_autocast_stays_around_the_forward(folder, alone):
    losses = torch.load(folder / "found.pt")["bf16"]
    exact = alone[2].losses[:3]
    assert losses == pytest.approx(exact, rel=0.02)
    assert losses[0] != pytest.approx(exact[0], abs=1e-6)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (dict(accumulative_counts=2), "accumulative_counts=2 with DeepSpeed"),
        (
            dict(clip_grad=dict(max_norm=1.0, norm_type=1)),
            "'norm_type': 1}; DeepSpeed clips",
        ),
    ],
)
def test_what_it_cannot_do_is_refused(options, said, worker):
    model = worker.build()
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1.0), **options)
    with pytest.raises(ShardingError, match=said):
        ZeroOptimWrapper(wrapper, ZERO)


def test_without_deepspeed_it_says_what_to_install(worker, monkeypatch):
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    model = worker.build()
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1.0))
    with pytest.raises(ShardingError, match=r"run pip install '\.\[deepspeed\]', or use"):
        ZeroOptimWrapper(wrapper, ZERO).start(model)
