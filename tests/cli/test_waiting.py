"""Threads that wait for one another sleep, as torch's own OpenMP says of itself."""

import os
import re

import pytest

from maskssl.cli.waiting import wait_passively


def settings(stderr: str) -> dict[str, str]:
    """What GNU's OpenMP shows as it is loaded, under OMP_DISPLAY_ENV."""
    return dict(re.findall(r"(\w+) = '(.*)'", stderr))


@pytest.fixture
def unset(monkeypatch):
    for name in ("OMP_WAIT_POLICY", "KMP_BLOCKTIME", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_DISPLAY_ENV", "VERBOSE")


def test_commands_set_it_before_torch_is_loaded(unset, run_python):
    command = "from maskssl.__main__ import main; main(['--version']); import torch"
    done = run_python("-c", command, env=dict(PYTHONPATH="."))
    assert done.returncode == 0, done.stderr[-2000:]
    shown = settings(done.stderr)
    assert shown["OMP_WAIT_POLICY"] == "PASSIVE" and shown["GOMP_SPINCOUNT"] == "0"


def test_without_it_threads_spin(unset, run_python):
    """If this fails, torch ships an OpenMP that waits passively, or another one."""
    done = run_python("-c", "import torch", env=dict(PYTHONPATH="."))
    assert settings(done.stderr)["GOMP_SPINCOUNT"] != "0"


def test_what_a_user_has_set_stays(unset, monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    monkeypatch.setenv("KMP_BLOCKTIME", "7")
    assert not wait_passively()  # torch is imported here
    assert (os.environ["OMP_WAIT_POLICY"], os.environ["KMP_BLOCKTIME"]) == ("ACTIVE", "7")
