"""A Python that starts in half a second for tests that start many.

mmpretrain, mmseg and mmdet take 15 to 25 s of a CPU to import, and hundreds of tests' processes
would each pay it. ``start`` runs one server that has imported them, none of this project, and
returns the path of an executable to be used as ``sys.executable``: it hands its arguments,
environment, folder and streams to the server, whose fork runs them as Python would, passes signals
on and ends as the fork ended. What a test says about imports, or about processes that die under a
launcher, needs ``sys.executable`` itself.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER = Path(__file__).parent


@contextmanager
def warm_python(folder: Path) -> Iterator[str]:
    """Path of the executable, below a new folder; it works until the context ends."""
    executable = folder / "python"
    executable.write_text(f"#!{sys.executable} -IS\n{(FOLDER / 'client.py').read_text()}")
    executable.chmod(0o755)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, FOLDER / "server.py", folder / "socket", executable],
            env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield str(executable)
    finally:
        server.terminate()
        server.wait()
