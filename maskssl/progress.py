"""One line that tells how far something is: drawn over and over on a terminal, else now and then.

Used by whatever takes its time: training, the index, the drawn scenes, the jobs of a transfer.
"""

import os
import sys
import time
from typing import TextIO

CLEAR = "\r\x1b[K"  # to the first column, erase to the end of the line


class LiveLine:
    """The last line of a terminal, drawn over and over.

    The cursor waits in the first column, so that whatever else is printed, a traceback
    say, starts there and not behind the line.

    Args:
        stream: of a terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.drawn = False

    def draw(self, text: str) -> None:
        """Show the text in place of the one before, cut to the terminal's width."""
        columns = os.get_terminal_size(self.stream.fileno()).columns
        # a line as wide as the terminal would wrap, and \r lead to its second half
        self.stream.write(f"{CLEAR}{text[: max(columns - 1, 0)]}\r")
        self.stream.flush()
        self.drawn = True

    def clear(self) -> None:
        """Erase the line, so that others can write."""
        if self.drawn:
            self.stream.write(CLEAR)
            self.stream.flush()
            self.drawn = False


class ProgressLine:
    """A live line on a terminal; in a file or pipe, a line of its own every ten seconds.

    Called with a share and a count, as sources of work call it, it describes them.

    Args:
        stream: default stderr.
        unit: what is counted.
        every: least seconds between two drawings on a terminal.
        every_elsewhere: the same between two lines in a file or pipe.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        unit: str = "images",
        every: float = 0.5,
        every_elsewhere: float = 10.0,
    ) -> None:
        self.stream = sys.stderr if stream is None else stream
        self.unit = unit
        terminal = self.stream.isatty() and os.environ.get("TERM") != "dumb"
        self._line = LiveLine(self.stream) if terminal else None
        self._every = every if terminal else every_elsewhere
        self._begun = self._shown = time.monotonic()

    def __call__(self, share: float, count: int) -> None:
        """Show what share of the work is done, how much that is, and the time left."""
        if share >= 1:
            self.clear()
        elif self._due():
            self._write(progress_text(share, count, time.monotonic() - self._begun, self.unit))

    def show(self, text: str) -> None:
        """Show a text for a while, unless the one before was shown just now."""
        if self._due():
            self._write(text)

    def say(self, text: str) -> None:
        """Write a line that stays."""
        self.clear()
        self.stream.write(f"{text}\n")
        self.stream.flush()

    def clear(self) -> None:
        """Leave the terminal as it was."""
        if self._line:
            self._line.clear()

    def _due(self) -> bool:
        now = time.monotonic()
        if now - self._shown < self._every:
            return False
        self._shown = now
        return True

    def _write(self, text: str) -> None:
        if self._line:
            self._line.draw(text)
        else:
            self.say(text)


def progress_text(share: float, count: int, seconds: float, unit: str = "images") -> str:
    """'34%, 5,200,000 images, 21 s left'; without time left before anything is done.

    Args:
        share: of the work that is done, 0..1.
        count: units done.
        seconds: they took.
        unit: what is counted.
    """
    left = f"{duration(seconds * (1 - share) / share)} left" if share > 0 else "time left unknown"
    return f"{share:.0%}, {count:,} {unit}, {left}"


def duration(seconds: float) -> str:
    """'42 s', '12 min' or '3 h 05 min'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
