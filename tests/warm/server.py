"""Import what is slow to import, then fork for each client: server.py SOCKET EXECUTABLE."""

import array
import atexit
import contextlib
import faulthandler
import gc
import importlib
import json
import multiprocessing
import os
import runpy
import signal
import socket
import sys
import threading
import traceback
from typing import Any, NoReturn

PACKAGES = ("timm", "mmpretrain", "mmseg", "mmdet")
ROOMS = ("apis", "datasets", "engine", "evaluation", "models", "structures", "visualization")
LIBRARIES = ("matplotlib.pyplot", "mmengine.runner", "mmcv.ops", "scipy.stats", "torchvision")


def main(path: str, executable: str) -> None:
    """Listen until terminated."""
    names = [f"{package}.{room}" for package in PACKAGES[1:] for room in ROOMS]
    for name in (*PACKAGES, *LIBRARIES, *names):
        with contextlib.suppress(ImportError):  # whoever needs it will say so
            importlib.import_module(name)
    assert not any(name.split(".")[0] in ("maskssl", "tests") for name in sys.modules)
    sys.path.pop(0)  # this file's folder
    multiprocessing.set_executable(sys.executable)  # its own arguments are not a client's
    sys.executable = executable
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the guards
    ear = socket.socket(socket.AF_UNIX)
    ear.bind(path + ".new")
    ear.listen(64)
    os.rename(path + ".new", path)
    while True:
        client, _ = ear.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            ear.close()
            guard(client)
        client.close()


def guard(client: socket.socket) -> NoReturn:
    """Fork once more, tell the client how that ends, and end it if the client is killed."""
    header, hidden, _, _ = client.recvmsg(4, socket.CMSG_SPACE(12))
    streams = list(array.array("i", hidden[0][2]))
    with client.makefile("rb") as file:
        asked = json.loads(file.read(int.from_bytes(header, "big")))
    process = os.fork()
    if process == 0:
        os.setsid()
        client.close()
        run(asked, streams)
    for stream in streams:
        os.close(stream)
    client.sendall(process.to_bytes(4, "big"))

    def watch() -> None:
        client.recv(1)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
    _, status = os.waitpid(process, 0)
    with contextlib.suppress(BrokenPipeError):
        client.sendall(os.waitstatus_to_exitcode(status).to_bytes(4, "big", signed=True))
    os._exit(0)


def run(asked: dict[str, Any], streams: list[int]) -> NoReturn:
    """Do in this process what ``python ARGUMENTS`` does, and end with its code."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    for stream in streams:
        if stream > 2:
            os.close(stream)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = os.fdopen(number, "w" if number else "r", 1, closefd=False)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    faulthandler.enable(file=2)  # the server's own setting, were there one, names its log
    sys.path[:0] = [entry for entry in os.environ.get("PYTHONPATH", "").split(":") if entry]
    importlib.invalidate_caches()
    code: Any = 0
    try:
        interpret(asked["arguments"])
    except SystemExit as ended:
        code = ended.code
        if isinstance(code, str):
            sys.stderr.write(f"{code}\n")
            code = 1
    except BaseException:  # noqa: BLE001  as an interpreter: any error is shown and the code is 1
        traceback.print_exc()
        code = 1
    with contextlib.suppress(Exception):  # as an interpreter that ends: say it and go on
        threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit((code or 0) & 255)


def interpret(arguments: list[str]) -> None:
    """-u, -m MODULE, -c CODE or a file, with the words after it."""
    while arguments[0] == "-u":
        arguments = arguments[1:]
    kind, *rest = arguments
    beside = os.getcwd() if kind in ("-m", "-c") else os.path.dirname(os.path.abspath(kind))
    if "PYTHONSAFEPATH" not in os.environ:
        sys.path.insert(0, beside)
    if kind == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif kind == "-c":
        sys.argv = ["-c", *rest[1:]]
        exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = list(arguments)
        runpy.run_path(kind, run_name="__main__")


main(*sys.argv[1:])
