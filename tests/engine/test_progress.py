"""The live line, read from a pseudo terminal: it moves, and the log's lines stay whole."""

import fcntl
import os
import pty
import re
import struct
import sys
import termios
import traceback
from types import SimpleNamespace

import pytest
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from maskssl.engine.hooks.progress import ProgressHook, _figures
from maskssl.engine.hooks.throughput import ThroughputHook
from maskssl.errors import MaskSSLError


class Model(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, inputs, data_samples=None, mode="loss"):
        if mode != "loss":
            return [1, 1]
        return dict(loss=self.layer(inputs.mean().view(1, 1)).sum())


class Printing(BaseMetric):
    default_prefix = "printed"

    def process(self, data_batch, data_samples):
        self.results += data_samples

    def compute_metrics(self, results):
        sys.stdout.write("printed by an evaluator\n")
        return dict(count=sum(results))


class Failing(Hook):
    priority = "LOWEST"

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == 4:
            raise RuntimeError("it ends here")


class Brief(Hook):
    """Logs a line shorter than the live one, which is drawn."""

    priority = "LOWEST"

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == 2:
            runner.logger.info("brief")


def collate(images):
    return dict(inputs=torch.stack(images))


def loader():
    return DataLoader([torch.zeros(3, 8, 8)] * 12, batch_size=2, collate_fn=collate)


def train(work_dir, epochs: bool, hooks=()):
    """Twelve steps with two validations of six, a line of the log each second step."""
    length = dict(max_epochs=2) if epochs else dict(max_iters=12, val_interval=6)
    Runner(
        Model(),
        work_dir=str(work_dir),
        train_dataloader=loader(),
        train_cfg=dict(by_epoch=epochs, **length),
        val_dataloader=loader(),
        val_cfg=dict(),
        val_evaluator=Evaluator(Printing()),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1)),
        log_processor=dict(by_epoch=epochs, window_size=2),
        default_hooks=dict(logger=dict(type="LoggerHook", interval=2)),
        custom_hooks=[ThroughputHook(), ProgressHook(every=0.0), *hooks],
        experiment_name=f"progress-{work_dir}",
    ).train()


def written_by(run, term="xterm", terminal=True, columns=80):
    """What a child process writes to a terminal or a pipe, and its status."""
    if terminal:
        child, source = pty.fork()
    else:
        source, sink = os.pipe()
        child = os.fork()
    if child == 0:
        if terminal:
            fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        else:
            os.dup2(sink, 1)
            os.dup2(sink, 2)
        sys.stdout, sys.stderr = (os.fdopen(fd, "w", 1, closefd=False) for fd in (1, 2))
        os.environ["TERM"] = term
        status = 1
        try:
            run()
            status = 0
        finally:  # pytest's part of the child ends here
            if status:
                traceback.print_exc()
            os._exit(status)
    if not terminal:
        os.close(sink)
    written = b""
    try:
        while piece := os.read(source, 65536):
            written += piece
    except OSError:  # EIO: the terminal's other side is closed
        pass
    os.close(source)
    return written.decode(), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def screen(written: str) -> list[str]:
    """The rows that a terminal shows in the end; long rows are not wrapped."""
    rows, column = [""], 0
    for token in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|.|\n|\r", written):
        row = rows[-1]
        if token == "\n":
            rows.append("")
        elif token == "\r":
            column = 0
        elif token == "\x1b[K":
            rows[-1] = row[:column]
        elif not token.startswith("\x1b"):
            rows[-1] = row[:column].ljust(column) + token + row[column + 1 :]
            column += 1
    return rows


def drawings(written: str) -> list[str]:
    return re.findall(r"\r\x1b\[K([^\r\n\x1b]+)\r", written)


def records(work_dir) -> list[str]:
    """Lines of training and validation in the run's log file, without time stamps."""
    (log,) = work_dir.glob("*/*.log")
    lines = log.read_text().splitlines()
    return [
        line.split(" - ")[-1] for line in lines if re.search(r"(Epoch|Iter)\((train|val)", line)
    ]


def test_epochs_on_a_terminal(tmp_path):
    written, status = written_by(lambda: train(tmp_path, True, [Brief()]))
    assert status == 0, written[-3000:]
    drawn = drawings(written)
    training = [line for line in drawn if line.startswith("Epoch")]
    assert len(training) == 12
    assert training[0].startswith("Epoch 1/2 [1/6]  ..........    8 %  ")
    assert training[7].startswith("Epoch 2/2 [2/6]  ######....   66 %  ")
    figures = r" %  \d+:\d\d:\d\d left  loss -?\d\.\d{4}  \d+ img/s$"
    assert all(re.search(figures, line) for line in training)
    assert len([line for line in drawn if line.startswith("Validation [")]) == 10

    rows = screen(written)
    kept = records(tmp_path)
    assert len(kept) == 6 + 6 + 2
    for record in kept:  # each on a row of its own, whole
        assert sum(row.endswith(record) for row in rows) == 1, record
    assert len([row for row in rows if row.endswith(" - mmengine - INFO - brief")]) == 1
    assert rows.count("printed by an evaluator") == 2
    assert not [row for row in rows if "..  " in row or " left" in row]


def test_iterations_and_the_time_left(tmp_path):
    written, status = written_by(lambda: train(tmp_path, epochs=False))
    assert status == 0, written[-3000:]
    training = [line for line in drawings(written) if line.startswith("Iter")]
    assert [line.split("  ")[0] for line in training] == [f"Iter {i}/12" for i in range(1, 13)]
    assert "##########  100 %  0:00:00 left  loss " in training[-1]


def test_the_figures_are_those_of_the_log():
    hub = MessageHub("figures")
    hub.update_info("eta", 3 * 3600 + 25 * 60 + 4.9)
    for loss, rate in ((9.0, 1.0), (1.25, 1499.6)):
        hub.update_scalar("train/loss", loss)
        hub.update_scalar("train/img_per_s", rate)
    runner = SimpleNamespace(message_hub=hub)
    assert _figures(runner, "train") == ["3:25:04 left", "loss 1.2500", "1500 img/s"]
    assert _figures(runner, "val") == ["3:25:04 left"]


def test_a_line_too_long_for_the_terminal_is_cut_and_does_not_wrap(tmp_path):
    written, _ = written_by(lambda: train(tmp_path, epochs=True), columns=30)
    assert {len(line) for line in drawings(written) if line.startswith("Epoch")} == {29}


def test_what_ends_a_run_is_not_written_behind_the_line(tmp_path):
    written, status = written_by(lambda: train(tmp_path, True, [Failing()]))
    assert status == 1
    assert drawings(written)
    assert [row for row in screen(written) if row.startswith("Traceback (most recent call last)")]


@pytest.mark.parametrize(
    "where", [dict(terminal=False), dict(term="dumb"), dict()], ids=["pipe", "dumb", "terminal"]
)
def test_nothing_is_drawn_elsewhere(tmp_path, where):
    written, status = written_by(lambda: train(tmp_path, epochs=True), **where)
    assert status == 0, written[-3000:]
    assert ("\x1b[K" in written and "####" in written) == (not where)


def test_other_ranks_draw_nothing(tmp_path):
    class SecondRank(Hook):
        priority = "VERY_HIGH"

        def before_run(self, runner):
            runner._rank = 1

    written, status = written_by(lambda: train(tmp_path, True, [SecondRank()]))
    assert status == 0, written[-3000:]
    assert "####" not in written


def test_it_draws_no_more_often_than_asked(tmp_path, monkeypatch):
    hook, drawn = ProgressHook(every=0.2), []
    clock = iter([10.0, 10.0, 10.1, 10.25, 10.25, 10.3])
    monkeypatch.setattr("maskssl.engine.hooks.progress.time.monotonic", lambda: next(clock))
    monkeypatch.setattr("maskssl.engine.hooks.progress._described", lambda *args: str(args[1]))
    hook._line = type("Line", (), dict(draw=lambda self, text: drawn.append(text)))()
    for batch in range(4):
        hook.after_train_iter(None, batch)
    assert drawn == ["0", "2"]


def test_a_negative_pause_is_refused():
    with pytest.raises(MaskSSLError, match="every=-1"):
        ProgressHook(every=-1)
