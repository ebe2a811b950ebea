"""A signal ends a run with a checkpoint of the running step and exit code 75."""

import os
import runpy
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import DataLoader

from maskssl.checkpoints.reading import read_checkpoint
from maskssl.engine.hooks.preemption import PreemptionHook, Shielded
from maskssl.errors import MaskSSLError

SCRIPT = Path(__file__).with_name("preempted_run.py")
ROOT = SCRIPT.parents[2]


def run(folder, *options, ranks: int = 1) -> subprocess.CompletedProcess[str]:
    """A process group of its own, so that signals to the group do not reach the tests."""
    prefix = [sys.executable]
    if ranks > 1:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        prefix += ["-m", "torch.distributed.run", f"--nproc-per-node={ranks}"]
        prefix += [f"--master-port={port}"]
        options = (*options, "--launcher", "pytorch")
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [*prefix, str(SCRIPT), str(folder), *map(str, options)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        start_new_session=True,
    )


def run_here(folder, *options) -> None:
    script = runpy.run_path(str(SCRIPT))
    script["main"](script["parsed"]([str(folder), *options]))


def test_sigterm_saves_this_step_and_resume_ends_bit_for_bit(tmp_path):
    left = run(tmp_path / "left", "--signal-at", 5)  # and again while it saves
    assert left.returncode == 75, left.stderr[-3000:]
    assert "SIGTERM: left after step 5 with exit code 75, to be requeued" in left.stdout
    saved = read_checkpoint(tmp_path / "left" / "iter_5.pth")
    assert saved["meta"]["iter"] == 5
    assert saved["param_schedulers"][0]["last_step"] == 5
    assert not list((tmp_path / "left").glob("iter_[!5]*"))

    run_here(tmp_path / "left", "--resume")
    run_here(tmp_path / "whole")
    ends = [torch.load(tmp_path / name / "end.pt") for name in ("whole", "left")]
    torch.testing.assert_close(ends[0], ends[1], rtol=0, atol=0)


def test_a_signal_to_loader_processes_too_does_not_break_the_save(tmp_path):
    options = ["--signal-at", 3, "--group", "--workers", 2, "--seconds", 0.01]
    left = run(tmp_path, *options)
    assert left.returncode == 75, left.stderr[-3000:]
    assert read_checkpoint(tmp_path / "iter_3.pth")["meta"]["iter"] == 3


def test_ranks_agree_on_the_step_when_one_alone_is_signalled(tmp_path):
    options = ["--signal-at", 2, "--kind", "SIGUSR1", "--on-rank", 1, "--interval", 4]
    left = run(tmp_path, *options, ranks=2)
    assert "SIGUSR1: left after step 4 with exit code 75" in left.stdout, left.stderr[-3000:]
    assert left.stderr.count("exitcode  : 75") == 2 or "exitcode: 75" in left.stderr
    assert [path.name for path in tmp_path.glob("*.pth")] == ["iter_4.pth"]
    assert read_checkpoint(tmp_path / "iter_4.pth")["meta"]["iter"] == 4


class Logger:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def warning(self, line: str) -> None:
        self.lines.append(line)

    error = warning


class Loop:
    def __init__(self, loader) -> None:
        self.dataloader = loader


class FakeRunner:
    """What the hook asks of a runner, with a checkpoint hook that can save now."""

    def __init__(self, saved: str | None = "x.pth") -> None:
        self.iter = 6
        self.train_loop, self.val_loop = Loop(DataLoader([1, 2])), None
        self.logger, self.saves, self.saved = Logger(), 0, saved
        self.hooks = [object(), self]
        self.optim_wrapper = SimpleNamespace(should_update=lambda: True, _accumulative_counts=1)

    def save_now(self, runner):
        self.saves += 1
        return self.saved


@pytest.fixture
def handlers():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)}
    yield before
    for number, handler in before.items():
        signal.signal(number, handler)


def test_the_checkpoint_hook_saves_and_handlers_are_given_back(handlers):
    hook, runner = PreemptionHook(), FakeRunner()
    hook.before_train(runner)
    hook.after_train_iter(runner, 0)
    assert runner.saves == 0
    os.kill(os.getpid(), signal.SIGUSR1)
    with pytest.raises(SystemExit) as left:
        hook.after_train_iter(runner, 0)
    assert left.value.code == 75 and runner.saves == 1
    hook.after_train(runner)
    assert {number: signal.getsignal(number) for number in handlers} == handlers
    assert runner.logger.lines[-1] == "SIGUSR1 came in the last steps: the run has ended as planned"


def test_a_save_that_failed_is_told(handlers):
    hook, runner = PreemptionHook(), FakeRunner(saved=None)
    hook.before_train(runner)
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(SystemExit):
        hook.after_train_iter(runner, 0)
    assert any("nothing was saved" in line for line in runner.logger.lines)


def test_forked_children_do_as_without_the_hook(handlers):
    hook, runner = PreemptionHook(), FakeRunner()
    hook.before_train(runner)
    child = os.fork()
    if child == 0:
        os.kill(os.getpid(), signal.SIGUSR1)  # a warning ends no child
        os.kill(os.getpid(), signal.SIGTERM)
        os._exit(0)  # not reached
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGTERM
    hook.after_train_iter(runner, 0)
    assert runner.saves == 0


def test_a_loader_process_leaves_for_its_parent_alone(tmp_path):
    child = os.fork()
    if child == 0:
        Shielded((tmp_path / "inner").write_bytes, [signal.SIGTERM, signal.SIGUSR1])(b"3")
        (tmp_path / "ready").touch()
        time.sleep(60)
        os._exit(7)
    while not (tmp_path / "ready").exists():
        time.sleep(0.01)
    assert (tmp_path / "inner").read_bytes() == b"3"  # the loader's own worker_init_fn
    for name in ("TERM", "USR1"):
        subprocess.run(["kill", "-s", name, str(child)], check=True)
    os.kill(child, signal.SIGUSR1)
    time.sleep(0.2)
    assert os.waitpid(child, os.WNOHANG) == (0, 0)
    os.kill(child, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_foreign_loader_is_told_of(handlers):
    hook, runner = PreemptionHook(), FakeRunner()
    runner.val_loop = Loop([1, 2])
    hook.before_train(runner)
    assert "cannot shield the processes of list" in runner.logger.lines[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(signals=("SIGNOPE",)), r"\['SIGNOPE'\] are unknown"),
        (dict(interval=0), "interval=0: give 1 or more"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(MaskSSLError, match=message):
        PreemptionHook(**options)
