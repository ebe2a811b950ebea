"""The line of progress: what it says, when it is written, and where nothing is drawn."""

import io
import os
from types import SimpleNamespace

import pytest

from maskssl import progress
from maskssl.progress import ProgressLine, duration, progress_text


def test_progress_says_what_is_left():
    assert progress_text(0.25, 1_234_567, 10.0) == "25%, 1,234,567 images, 30 s left"
    assert progress_text(0.5, 3, 600.0, "pictures") == "50%, 3 pictures, 10 min left"
    assert progress_text(0.0, 0, 10.0) == "0%, 0 images, time left unknown"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (5000, "83 min"), (11_100, "3 h 05 min")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.fixture
def clock(monkeypatch):
    """A function that moves the clock that lines read."""
    now = [100.0]
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def forward(seconds: float) -> None:
        now[0] += seconds

    return forward


def test_in_a_file_a_line_now_and_then(clock):
    out = io.StringIO()
    line = ProgressLine(out, unit="pictures", every_elsewhere=10.0)
    for done in range(1, 100):
        clock(0.5)
        line(done / 100, done)
    line.show("too soon")
    line.say("done")
    assert out.getvalue().splitlines() == [
        "20%, 20 pictures, 40 s left",
        "40%, 40 pictures, 30 s left",
        "60%, 60 pictures, 20 s left",
        "80%, 80 pictures, 10 s left",
        "done",
    ]


def test_on_a_terminal_one_line_that_gives_way(clock, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

        def fileno(self) -> int:
            return 0

    monkeypatch.setattr(progress.os, "get_terminal_size", lambda fd: os.terminal_size((12, 24)))
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    line = ProgressLine(out, every=0.5)
    clock(1)
    line.show("a text that is too long")
    line.show("too soon")
    line.say("stays")
    assert out.getvalue() == "\r\x1b[Ka text that\r" + "\r\x1b[Kstays\n"
    line.clear()
    assert out.getvalue().endswith("stays\n")  # nothing was drawn since

    monkeypatch.setenv("TERM", "dumb")
    dumb = Terminal()
    line = ProgressLine(dumb, every_elsewhere=1.0)
    clock(1)
    line.show("plain")
    assert dumb.getvalue() == "plain\n"
