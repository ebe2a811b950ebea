"""What ``--nproc N`` starts, and with which variables."""

import os
import sys

import pytest

from maskssl.__main__ import main
from maskssl.cli import processes
from maskssl.cli.processes import launch_command, launch_variables


@pytest.fixture
def replaced(monkeypatch) -> list[tuple[list[str], dict[str, str]]]:
    """What would have replaced this process."""
    calls: list[tuple[list[str], dict[str, str]]] = []

    class ReplacedError(BaseException):
        pass

    def execve(path: str, arguments: list[str], environment: dict[str, str]) -> None:
        assert path == sys.executable
        calls.append((arguments, environment))
        raise ReplacedError

    monkeypatch.setattr(processes.os, "execve", execve)
    for name in ("NNODES", "NODE_RANK", "MASTER_ADDR", "PORT", "MAX_RESTARTS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)

    def start(*words: str) -> tuple[list[str], dict[str, str]]:
        with pytest.raises(ReplacedError):
            main(words)
        return calls[-1]

    return start


@pytest.mark.parametrize("option", [["--nproc", "2"], ["--nproc=2"]])
@pytest.mark.parametrize("command", ["train", "test"])
def test_the_command_is_started_again_without_the_option(command, option, replaced):
    arguments, _ = replaced(
        command, "c.py", *option, "--cfg-options", "train_cfg.max_epochs=2", "a.b='x y'"
    )
    start = arguments.index("maskssl")
    assert arguments[: start - 1] == [
        sys.executable, "-m", "torch.distributed.run", "--nnodes=1", "--nproc_per_node=2",
        "--node_rank=0", "--master_addr=127.0.0.1", "--master_port=29500",
    ]  # fmt: skip
    assert arguments[start - 1 :] == [
        "-m", "maskssl", command, "c.py", "--cfg-options", "train_cfg.max_epochs=2", "a.b='x y'",
        "--launcher", "pytorch",
    ]  # fmt: skip


def test_variables_lay_out_several_nodes(replaced, monkeypatch):
    for name, value in dict(NNODES="3", NODE_RANK="2", MASTER_ADDR="head", PORT="77").items():
        monkeypatch.setenv(name, value)
    arguments, _ = replaced("train", "c.py", "--nproc", "8")
    assert arguments[3:8] == [
        "--nnodes=3", "--nproc_per_node=8", "--node_rank=2", "--master_addr=head",
        "--master_port=77",
    ]  # fmt: skip


@pytest.mark.parametrize("node", ["0", "1"])
def test_restarts_meet_at_the_first_node(node):
    given = dict(NNODES="2", NODE_RANK=node, MASTER_ADDR="head", PORT="77", MAX_RESTARTS="3")
    variables = launch_variables(given, 2, 8, now=1234.5)
    assert variables["MASKSSL_LAUNCHED"] == "1234"
    assert variables["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] == "1"
    options = launch_command(variables, 2)[3:]
    assert options[:2] == ["--nnodes=2", "--nproc_per_node=2"]
    assert options[2:7] == [
        "--rdzv_backend=c10d", "--rdzv_endpoint=head:77", "--rdzv_id=maskssl-77",
        f"--rdzv_conf=is_host={'true' if node == '0' else 'false'}", "--max_restarts=3",
    ]  # fmt: skip
    assert options[7:] == (["--local_addr=head"] if node == "0" else [])


@pytest.mark.parametrize(
    ("given", "cores", "threads"), [(None, 8, "4"), (None, 1, "1"), ("3", 8, "3")]
)
def test_threads_share_the_cores(given, cores, threads):
    variables = launch_variables({"OMP_NUM_THREADS": given} if given else {}, 2, cores, now=0)
    assert variables["OMP_NUM_THREADS"] == threads
    assert "MASKSSL_LAUNCHED" not in variables
    assert variables["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"] == "60"
    assert (
        launch_variables({"SHUTDOWN_TIMEOUT": "5"}, 2, 8, now=0)["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"]
        == "5"
    )


def test_the_environment_is_handed_on(replaced, monkeypatch):
    monkeypatch.setenv("SOMETHING", "else")
    _, environment = replaced("train", "c.py", "--nproc", "1")
    assert environment["SOMETHING"] == "else" and environment["PATH"] == os.environ["PATH"]


@pytest.mark.parametrize("number", ["0", "-2"])
def test_no_processes_are_refused(number, capsys):
    with pytest.raises(SystemExit):
        main(["train", "c.py", "--nproc", number])
    assert f"--nproc: {number} is no whole number of 1 or more" in capsys.readouterr().err
