"""A signal ends a run with a checkpoint of the running step and exit code 75."""

import os
import runpy
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch.utils.data import DataLoader

from maskssl.checkpoints.reading import read_checkpoint
from maskssl.engine.hooks.preemption import PreemptionHook, Shielded
from maskssl.errors import MaskSSLError
from tests.support import python

SCRIPT = Path(__file__).with_name("preempted_run.py")
ROOT = SCRIPT.parents[2]


def run(folder, *options, ranks: int = 1) -> subprocess.CompletedProcess[str]:
    """A process group of its own, so that signals to the group do not reach the tests."""
    prefix = [python()]
    if ranks > 1:  # of whose group the launcher is one
        prefix = [sys.executable]
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


def test_a_signal_in_the_middle_of_an_accumulation_waits_for_the_optimizer_step(tmp_path):
    options = ["--accumulate", "4"]
    with pytest.raises(SystemExit) as left:
        run_here(tmp_path / "left", "--signal-at", "6", *options)
    assert left.value.code == 75
    assert [path.name for path in (tmp_path / "left").glob("*.pth")] == ["iter_8.pth"]
    run_here(tmp_path / "left", "--resume", *options)
    run_here(tmp_path / "whole", *options)
    ends = [torch.load(tmp_path / name / "end.pt") for name in ("whole", "left")]
    torch.testing.assert_close(ends[0], ends[1], rtol=0, atol=0)


def test_a_signal_to_loader_processes_too_does_not_break_the_save(tmp_path):
    options = ["--signal-at", 3, "--group", "--workers", 2, "--seconds", 0.01]
    left = run(tmp_path, *options)
    assert left.returncode == 75, left.stderr[-3000:]
    assert read_checkpoint(tmp_path / "iter_3.pth")["meta"]["iter"] == 3


def test_ranks_agree_on_the_step_when_one_alone_is_signalled(tmp_path):
    options = ["--signal-at", 3, "--kind", "SIGUSR1", "--on-rank", 1, "--interval", 2]
    left = run(tmp_path, *options, "--accumulate", 2, ranks=2)
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
        weight = torch.nn.Parameter(torch.ones(()))
        self.optim_wrapper = OptimWrapper(torch.optim.SGD([weight], lr=0.1), accumulative_counts=2)

    def forward(self) -> None:
        (weight,) = self.optim_wrapper.optimizer.param_groups[0]["params"]
        self.optim_wrapper.update_params(weight**2)

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
    runner.forward()  # the first of two that make a step
    hook.after_train_iter(runner, 0)
    assert runner.saves == 0
    runner.forward()
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


def test_a_loader_process_outlives_signals_that_are_not_its_parents(tmp_path):
    """It echoes after a scheduler's signals, which would end it before it runs on."""
    questions, answers = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        Shielded((tmp_path / "inner").write_bytes, [signal.SIGTERM, signal.SIGUSR1])(b"3")
        while True:
            os.write(answers[1], os.read(questions[0], 1))

    def echo(letter: bytes) -> bytes:
        os.write(questions[1], letter)
        return os.read(answers[0], 1)

    assert echo(b"a") == b"a"
    assert (tmp_path / "inner").read_bytes() == b"3"  # the loader's own worker_init_fn
    for name in ("TERM", "USR1"):
        subprocess.run(["kill", "-s", name, str(child)], check=True)
    assert echo(b"b") == b"b"
    os.kill(child, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_watch_in_a_loader_process_ends_it_for_its_parent_alone(monkeypatch):
    class Ended(Exception):
        pass

    def end(code):
        raise Ended(code)

    told = [
        SimpleNamespace(si_signo=number, si_pid=sender)
        for number, sender in (
            (signal.SIGTERM, 2),
            (signal.SIGUSR1, 1),
            (signal.SIGUSR1, 2),
            (signal.SIGTERM, 1),
            (signal.SIGTERM, 2),
        )
    ]
    waiting = iter(told)
    monkeypatch.setattr("signal.sigwaitinfo", lambda signals: next(waiting))
    monkeypatch.setattr("os._exit", end)
    with pytest.raises(Ended, match="^0$"):
        Shielded(None, [signal.SIGTERM, signal.SIGUSR1])._watch(1)
    assert list(waiting) == told[4:]


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
