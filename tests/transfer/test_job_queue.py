"""Jobs: their order, their own logs and environments, and what a failing one tells."""

import io
import multiprocessing
import os
import subprocess
import sys

import pytest

from maskssl.progress import ProgressLine
from maskssl.transfer.job_queue import Job, JobError, Lanes, run_jobs

TWO = Lanes([{"LANE": "first"}, {"LANE": "second"}], environment={"WARM": "yes"})


@pytest.fixture
def job(tmp_path):
    """A function of name, target and arguments."""

    def build(name: str, target: str, *arguments):
        return Job(name, target, arguments, tmp_path / "logs" / f"{name}.log")

    return build


def run(jobs, lanes=TWO, **options):
    return run_jobs(jobs, lanes, ProgressLine(io.StringIO(), every_elsewhere=0.0), **options)


@pytest.mark.parametrize(
    ("target", "argument", "said"),
    [
        ("sys:exit", 3, "exit code 3"),
        ("sys:exit", "a sentence", "exit code 1; its log .* ends:\n  a sentence"),
        ("os:abort", None, r"was ended by signal 6; .*\n  \(nothing was written\)"),
        ("builtins:int", "no number", r"exit code 1; [\s\S]*ValueError: invalid literal"),
        ("maskssl:config_file", "x.py", r"exit code 1; .*\n  MaskSSLError: there is no config"),
        ("maskssl.nowhere:x", None, r"exit code 1; [\s\S]*ModuleNotFoundError"),
    ],
)
def test_a_failing_job_stops_the_others_and_shows_its_log(job, target, argument, said):
    arguments = [] if argument is None else [argument]
    with pytest.raises(JobError, match=f"^bad (failed with )?{said}"):
        run([job("bad", target, *arguments), job("slow", "time:sleep", 30)])
    assert not multiprocessing.active_children()  # the other one was stopped, not left


def test_each_job_has_its_own_log_and_environment(job):
    show = "import os; print(os.environ['LANE'], os.environ['WARM'])"
    jobs = [job(name, "builtins:exec", show) for name in ("a", "b")]
    finished = []
    took = run(jobs, Lanes([{"LANE": "only"}], environment={"WARM": "yes"}),
               finished=lambda name, seconds: finished.append(name))  # fmt: skip
    assert finished == list(took) == ["a", "b"]
    assert [item.log.read_text() for item in jobs] == ["only yes\n"] * 2


@pytest.mark.slow  # the server and its children import torch
def test_jobs_have_the_threads_of_their_lanes_whatever_the_server_began_with(tmp_path):
    """In an interpreter of its own, as this one's server may have begun without torch."""
    show = "import torch; print(torch.get_num_threads(), torch.__config__.parallel_info())"
    code = (
        "from pathlib import Path\n"
        "from maskssl.progress import ProgressLine\n"
        "from maskssl.transfer.job_queue import Job, Lanes, run_jobs\n"
        "for threads in (3, 1, 2):\n"
        f"    job = Job('a', 'builtins:exec', ({show!r},), Path({str(tmp_path)!r}, str(threads)))\n"
        "    common = {'OMP_NUM_THREADS': str(threads)}\n"
        "    run_jobs([job], Lanes([{}], ['torch'], common, threads), ProgressLine())"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stderr=subprocess.DEVNULL)
    for threads in (3, 1, 2):
        told = (tmp_path / str(threads)).read_text()
        assert told.startswith(f"{threads} ")
        assert f"omp_get_max_threads() : {threads}" in told
        assert f"mkl_get_max_threads() : {threads}" in told


def test_the_line_shows_where_jobs_are_and_when_by_their_own_logs_they_end(job, tmp_path):
    """Until a job has been seen at its position it does not end."""
    (tmp_path / "logs").mkdir()
    shown = tmp_path / "shown"
    told = "Epoch(train) [1][ 4/9]  eta: 2:00:00  time: 1.0"
    wait = (
        "import pathlib, time\n"
        f"print({told!r}, flush=True)\n"
        f"while '[1][4/9]' not in pathlib.Path({str(shown)!r}).read_text(): time.sleep(0.05)"
    )
    with shown.open("w", buffering=1) as stream:
        line = ProgressLine(stream, every_elsewhere=0.0)
        run_jobs([job("a", "builtins:exec", wait)], Lanes([{}]), line)
    assert "a [1][4/9]; about 2 h" in shown.read_text()


def test_where_failures_are_told_the_others_go_on(job):
    jobs = [job("first", "sys:exit", 3), *(job(n, "builtins:abs", 1) for n in ("second", "third"))]
    failed: dict[str, JobError] = {}
    took = run(jobs, Lanes([{}]), failed=failed.__setitem__)
    assert list(took) == ["second", "third"]
    assert list(failed) == ["first"] and "exit code 3" in str(failed["first"])


@pytest.mark.slow
def test_a_job_ends_when_its_command_is_killed(tmp_path):
    """Nothing is left to write into a folder where the next command goes on."""
    os.mkfifo(tmp_path / "pipe")
    job = (
        f"import time\nwith open({str(tmp_path / 'pipe')!r}, 'w') as pipe:\n"
        "    pipe.write('here')\n    pipe.flush()\n    time.sleep(30)\n    pipe.write('left')"
    )
    code = (
        "from maskssl.progress import ProgressLine\n"
        "from maskssl.transfer.job_queue import Job, Lanes, run_jobs\n"
        "from pathlib import Path\n"
        f"job = Job('a', 'builtins:exec', ({job!r},), Path({str(tmp_path / 'log')!r}))\n"
        "run_jobs([job], Lanes([{}]), ProgressLine())"
    )
    command = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    try:
        with open(tmp_path / "pipe") as pipe:
            assert pipe.read(4) == "here"
            command.kill()
            assert pipe.read() == ""
    finally:
        command.kill()
        command.wait()
