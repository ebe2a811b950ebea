"""FSDP2 over two gloo processes: the numbers, the files and the resumes of one process."""

import importlib.util
import math
import os
import subprocess

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope

from maskssl.checkpoints.finding import check_checkpoint, newest_valid
from maskssl.checkpoints.reading import read_checkpoint
from maskssl.checkpoints.writing import read_sidecar
from maskssl.engine.runner.saving import without_tensors
from maskssl.engine.sharding.fsdp2 import share_out
from maskssl.engine.sharding.options import ShardingError, refuse_one_process, sharding_options
from tests.stress.resume_stress import differing
from tests.support import python

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason="written for machines without GPU"
)
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
    """Where two processes have run the worker's main."""
    folder = tmp_path_factory.mktemp("sharded")
    command = [python(), "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = subprocess.run(
        [*command, worker.__file__, "fsdp2", str(folder)],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert "6 blocks and the rest of FSDPBootMAE sharded over 2 processes" in done.stdout
    assert "was not tested" not in done.stdout
    return folder


@pytest.fixture(scope="module")
def found(folder):
    """What the first of them saw."""
    return torch.load(folder / "found.pt", weights_only=False)


@pytest.fixture(scope="module")
def alone(worker, tmp_path_factory):
    """The same run in one process with the whole batch: (folder, runner, recorder)."""
    folder = tmp_path_factory.mktemp("alone")
    scopes = dict(DefaultScope._instance_dict)
    yield folder, *worker.run(folder, epochs=2)
    DefaultScope._instance_dict.clear()
    DefaultScope._instance_dict.update(scopes)


def assert_same_layout(one, two, path=""):
    """Keys in order, types, shapes and types of numbers; plain values equal."""
    assert type(one) is type(two), path
    if isinstance(one, dict):
        assert list(one) == list(two), path
        for key in one:
            assert_same_layout(one[key], two[key], f"{path}.{key}")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(two), path
        for index, pair in enumerate(zip(one, two, strict=True)):
            assert_same_layout(*pair, f"{path}[{index}]")
    elif isinstance(one, torch.Tensor):
        assert (one.shape, one.dtype, one.device) == (two.shape, two.dtype, two.device), path
    else:
        assert one == two, path


def assert_close_states(one, two):
    assert one.keys() == two.keys()
    for name, value in one.items():
        if torch.is_tensor(value):
            torch.testing.assert_close(two[name], value, **CLOSE, msg=lambda m, n=name: f"{n}: {m}")
        elif isinstance(value, dict):
            assert_close_states(value, two[name])


@pytest.mark.parametrize("case", ["default", "kept", "recomputed"])
def test_loss_and_gradients_are_those_of_one_process(case, worker, found):
    options = dict(with_cp=True) if case == "recomputed" else {}
    expected = worker.loss_and_gradients(None, **options)
    assert found[case]["loss"] == pytest.approx(expected["loss"], abs=1e-5)
    assert found[case]["gradients"].keys() == expected["gradients"].keys()
    for name, gradient in expected["gradients"].items():
        torch.testing.assert_close(found[case]["gradients"][name], gradient, **CLOSE)
    # reshard_after_forward=False keeps a block's weights whole for the backward
    assert found[case]["sharded"] == (case != "kept")


def test_autocast_stays_around_the_forward(worker, found):
    """bf16 as without sharding; weights and gradients were asserted to be fp32."""
    assert found["autocast"] == pytest.approx(worker.under_autocast(None), rel=2e-3)
    exact = worker.losses(worker.build().train(), worker.samples()[: worker.BATCH])
    assert abs(found["autocast"] - exact.item()) > 1e-6


def test_a_run_is_that_of_one_process(folder, found, alone):
    """Losses, gradient norms, and after 3 and 6 steps weights, teacher and optimizer state.

    Each of the two had drawn weights of its own.
    """
    single, _, recorder = alone
    assert found["run"]["losses"] == pytest.approx(recorder.losses, abs=1e-5)
    assert found["run"]["norms"] == pytest.approx(recorder.norms, rel=1e-5)
    assert max(recorder.norms) > 1  # some were clipped
    for name in ("epoch_1.pth", "epoch_2.pth"):
        one, two = read_checkpoint(single / name), read_checkpoint(folder / "fsdp2" / name)
        assert one.keys() == two.keys()
        assert_same_layout(one["state_dict"], two["state_dict"])
        assert one["state_dict"]._metadata.keys() == two["state_dict"]._metadata.keys()
        assert_same_layout(one["optimizer"], two["optimizer"])
        assert_close_states(one["state_dict"], two["state_dict"])
        assert_close_states(one["optimizer"]["state"], two["optimizer"]["state"])
    teacher = "target_generator.encoder.blocks.0.mlp.fc1.weight"
    student = "backbone.blocks.0.mlp.fc1.weight"
    moved = two["state_dict"][teacher] - two["state_dict"][student]
    assert moved.abs().max() > 1e-3  # neither frozen nor a copy


def test_gradients_are_accumulated(worker, found, tmp_path):
    _, recorder = worker.run(tmp_path / "accumulated", every=2)
    assert found["accumulated"] == pytest.approx(recorder.losses, abs=1e-5)
    assert len(set(recorder.losses)) == 3


def test_its_checkpoint_is_resumed_by_one_process(worker, folder, found, tmp_path):
    written = folder / "fsdp2" / "epoch_1.pth"
    worker.build().load_state_dict(read_checkpoint(written)["state_dict"], strict=True)
    _, recorder = worker.run(tmp_path / "back", epochs=2, seed=8, resume=written)
    assert recorder.losses == pytest.approx(found["run"]["losses"][3:], abs=1e-5)


def test_it_resumes_the_checkpoint_of_ddp(found, folder, alone):
    """Weights, teacher and optimizer state of a DDP run, which is that of one process."""
    single, _, recorder = alone
    assert found["resumed"] == pytest.approx(recorder.losses[3:], abs=1e-5)
    one = read_checkpoint(single / "epoch_2.pth")
    two = read_checkpoint(folder / "resumed" / "epoch_2.pth")
    assert_close_states(one["state_dict"], two["state_dict"])
    assert_close_states(one["optimizer"]["state"], two["optimizer"]["state"])


def test_it_resumes_a_checkpoint_with_a_group_for_each_parameter(found, alone):
    assert found["former"] == pytest.approx(alone[2].losses[3:], abs=1e-5)


def names(folder, pattern="*"):
    return sorted(path.name for path in folder.glob(pattern))


def test_a_whole_file_written_beside_the_training_is_the_same(found, folder):
    """As the shipped configs write it."""
    assert names(folder / "whole beside", "*.pth") == ["epoch_1.pth", "epoch_2.pth"]
    one, two = (read_checkpoint(folder / run / "epoch_2.pth") for run in ("fsdp2", "whole beside"))
    assert_same_layout(one["state_dict"], two["state_dict"])
    for name, value in one["state_dict"].items():
        assert torch.equal(value, two["state_dict"][name]), name


def test_shards_are_the_same_checkpoint(found, folder):
    """Written by two processes; read whole by one, for whatever wants a checkpoint."""
    assert found["sharded"] == found["run"]["losses"]
    for name in ("epoch_1.pth", "epoch_2.pth"):
        whole = read_checkpoint(folder / "fsdp2" / name)
        path = folder / "sharded" / name
        assert path.stat().st_size < (folder / "fsdp2" / name).stat().st_size / 2
        shards = path.with_name(read_sidecar(path).shards)
        assert names(shards) == ["00000.safetensors", "00001.safetensors"]
        read = read_checkpoint(path)
        assert read.keys() == whole.keys()
        assert_same_layout(whole["state_dict"], read["state_dict"])
        assert_same_layout(whole["optimizer"], read["optimizer"])
        for key, value in whole["state_dict"].items():
            assert torch.equal(read["state_dict"][key], value), key
        for index, entries in whole["optimizer"]["state"].items():
            for key, value in entries.items():
                assert torch.equal(read["optimizer"]["state"][index][key], value), (index, key)


def test_a_run_goes_on_from_its_shards(found, folder):
    """With other weights drawn before; bit for bit."""
    assert found["went on"] == found["sharded"][3:]
    one, two = (read_checkpoint(folder / run / "epoch_2.pth") for run in ("sharded", "stopped"))
    for key, value in one["state_dict"].items():
        assert torch.equal(two["state_dict"][key], value), key


def test_a_process_reads_its_own_share(found):
    """Of every weight of student and teacher, and of both of AdamW's moments."""
    for part in ("state_dict/backbone.", "state_dict/target_generator.", "optimizer/state/"):
        sizes = {path: size for path, size in found["read"].items() if path.startswith(part)}
        split = [(own, rows) for own, rows in sizes.values() if rows > 1]
        assert len(split) > 10, part
        assert all(own == math.ceil(rows / 2) for own, rows in split), part


def test_shards_are_published_as_one_file(folder):
    (published,) = folder.glob("stopped/epoch_2-*.pth")
    one, two = torch.load(published), read_checkpoint(folder / "stopped" / "epoch_2.pth")
    assert one.keys() == {"meta", "state_dict"}
    for name, value in two["state_dict"].items():
        assert torch.equal(one["state_dict"][name], value), name


def test_shards_are_not_written_to_other_storage():
    with pytest.raises(ShardingError, match="https://x/epoch_1.pth is none; use checkpoint='whole"):
        without_tensors(dict(state_dict={}), "https://x/epoch_1.pth", local=False)


def test_ddp_goes_on_from_shards(found, folder, alone):
    assert found["from shards"] == pytest.approx(alone[2].losses[3:], abs=1e-5)
    one, two = (read_checkpoint(folder / run / "epoch_2.pth") for run in ("ddp", "from shards"))
    assert_close_states(one["state_dict"], two["state_dict"])
    assert_close_states(one["optimizer"]["state"], two["optimizer"]["state"])


def test_one_full_disk_stops_the_save_on_all(found):
    """Not the run, and nothing is left of it."""
    assert found["without space"]["steps"] == 9
    left = [name for name in found["without space"]["left"] if name.startswith(("epoch", "."))]
    kinds = [name.replace(name.split(".")[1], "TOKEN") for name in left if name.endswith("shards")]
    assert kinds == ["epoch_1.TOKEN.shards", "epoch_3.TOKEN.shards"]
    assert [name for name in left if name.endswith(".pth")] == ["epoch_1.pth", "epoch_3.pth"]
    assert not any("part" in name for name in left)


def test_shares_count_once_all_processes_have_written(found, folder):
    """The second one's of epoch 1 is held up to step 5; they ask each other at even steps."""
    one, two = ["epoch_1.pth"], ["epoch_1.pth", "epoch_2.pth"]
    assert found["beside"]["seen"] == [[]] * 5 + [one, one, two, two]
    for name in two:
        ours, waiting = (read_checkpoint(folder / run / name) for run in ("held", "sharded"))
        assert ours["optimizer"]["state"] and not list(differing(ours, waiting))
    assert newest_valid(folder / "held").name == "epoch_3.pth"


def test_the_best_shares_go_last_and_a_full_disk_costs_none(found, folder):
    """The second best finds no space on one process, and no checkpoint speaks of it."""
    kept = ["best_acc_epoch_3.pth", "epoch_2.pth", "epoch_4.pth"]
    left = found["beside"]["best"]
    assert [name for name in left if name.endswith(".pth")] == kept
    shares = {name: read_sidecar(folder / "best" / name).shards for name in kept}
    assert sorted(shares.values()) == [name for name in left if name.endswith(".shards")]
    assert not any("part" in name for name in left)
    assert all(check_checkpoint(folder / "best" / name) is None for name in kept)
    hubs = [read_checkpoint(folder / "best" / name)["message_hub"] for name in kept]
    assert [hub["runtime_info"]["best_score"] for hub in hubs] == [2.0, 1.0, 2.0]


def test_a_step_that_is_not_finite_is_left_out(found, worker, tmp_path):
    _, recorder = worker.run(tmp_path / "alone", epochs=2, broken=1)
    assert not np.isfinite([recorder.losses[1], found["broken"]["losses"][1]]).any()
    del recorder.losses[1], found["broken"]["losses"][1]
    assert (
        len(set(found["broken"]["losses"])) == 5 and len(set(found["broken"]["norms"])) == 4
    )  # the fourth is left out by its gradient
    assert found["broken"]["losses"] == pytest.approx(recorder.losses, abs=1e-5)
    assert found["broken"]["norms"] == pytest.approx(recorder.norms, rel=1e-5)


def test_methods_besides_forward_find_their_weights(worker, found, folder):
    model = worker.build()
    model.load_state_dict(read_checkpoint(folder / "fsdp2" / "epoch_2.pth")["state_dict"])
    expected = worker.pictures(type("Runner", (), dict(model=model)))
    for one, two in zip(found["pictures"], expected, strict=True):
        torch.testing.assert_close(one, two, **CLOSE)


# Refusals


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (dict(type="fsdp"), "type='fsdp' is unknown; use one of"),
        (dict(type="fsdp2", reshard=True), r"\['reshard'\], which fsdp2 does not know"),
        (dict(type="deepspeed", reshard_after_forward=True), "which deepspeed does not know"),
        (dict(type="fsdp2", checkpoint="split"), "checkpoint='split' is unknown; 'whole' writes"),
        (dict(type="deepspeed", stage=3), "stage 1 or 2; to shard the weights too use"),
    ],
)
def test_options_that_cannot_be_meant(entry, said):
    with pytest.raises(ShardingError, match=said):
        sharding_options(entry)


def test_one_process_alone_is_refused(worker, tmp_path):
    with pytest.raises(ShardingError, match="needs processes to share the model"):
        refuse_one_process(sharding_options(dict(type="fsdp2")))
    with pytest.raises(ShardingError, match="needs processes to share the model"):
        worker.run(tmp_path, sharding=dict(type="fsdp2"))


def test_an_optimizer_that_cannot_go_on_with_the_shares_is_refused(worker):
    model, options = worker.build(), sharding_options(dict(type="fsdp2"))
    other = torch.optim.SGD(worker.build().parameters(), lr=1.0)
    with pytest.raises(ShardingError, match=r"118 of the optimizer's 118 parameters are not"):
        share_out(model, options, other)
    stepped = torch.optim.Adam(model.parameters(), lr=1.0)
    next(model.parameters()).grad = torch.ones_like(next(model.parameters()))
    stepped.step()
    with pytest.raises(ShardingError, match="resume by the config"):
        share_out(model, options, stepped)
