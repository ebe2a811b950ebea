"""Stands for a Python interpreter: a fork of the server beside it does the work."""

import array
import json
import os
import signal
import socket
import sys
import time

SECONDS = 300  # that the server may take to import everything


def connect(path: str) -> socket.socket:
    """The server's ear, as soon as it listens."""
    for _ in range(10 * SECONDS):
        ear = socket.socket(socket.AF_UNIX)
        try:
            ear.connect(path)
            return ear
        except (FileNotFoundError, ConnectionRefusedError):
            ear.close()
            time.sleep(0.1)
    sys.exit(f"{path} does not answer: see server.log beside it")


def main() -> None:
    """Ask, pass signals on, and end as the fork ended."""
    folder = os.path.dirname(os.path.abspath(__file__))
    ear = connect(os.path.join(folder, "socket"))
    asked = dict(arguments=sys.argv[1:], folder=os.getcwd(), environment=dict(os.environ))
    message = json.dumps(asked).encode()
    streams = array.array("i", [0, 1, 2])
    header = len(message).to_bytes(4, "big")
    ear.sendmsg([header], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)])
    ear.sendall(message)
    answers = ear.makefile("rb")
    process = int.from_bytes(answers.read(4), "big")
    for name in ("SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2", "SIGHUP"):
        signal.signal(getattr(signal, name), lambda number, _: os.kill(process, number))
    answer = answers.read(4)
    code = int.from_bytes(answer, "big", signed=True) if answer else 1
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
        os.kill(os.getpid(), -code)
    sys.exit(code)


main()
