"""Launchers: what they start, when they stop, how they go on; Slurm's commands are stand-ins."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from maskssl.checkpoints.writing import write_checkpoint
from maskssl.cli import restarts
from maskssl.cli import slurm as starting
from maskssl.cli.processes import LAUNCHED
from maskssl.quickstart.scenes.writer import write_scenes

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ROOT / "tools"
PRETRAIN = "bootmae_vit-mini-p8_1xb32-amp-coslr-12e_scenes.py"
STAND_IN = """#!{python}
import json, os, sys
from pathlib import Path
kept = {{k: v for k, v in os.environ.items() if k in ("MASTER_PORT", "SLURM_JOB_ID")}}
with open({record!r}, "a") as file:
    file.write(json.dumps([Path(sys.argv[0]).name, sys.argv[1:], kept]) + "\\n")
codes = {codes!r}
sys.exit(codes.get(Path(sys.argv[0]).name, 0))
"""
STOPS_WITHIN = 60  # seconds; measured: see the README


@pytest.fixture
def slurm(tmp_path):
    """Run a command, or a script, with recording stand-ins for Slurm's commands on the PATH."""
    record = tmp_path / "record.jsonl"
    shown = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]

    def run(*words, commands=("srun", "sbatch", "scontrol"), codes=None, **variables):
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        for name in commands:
            text = STAND_IN.format(python=sys.executable, record=str(record), codes=codes or {})
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        python = folder / "python"  # for the scripts of a checkout without .venv
        python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        python.chmod(0o755)
        done = subprocess.run(
            [str(word) for word in words],
            env=dict(PATH=f"{folder}:/usr/bin:/bin", PYTHONPATH=":".join(shown), **variables),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        lines = record.read_text().splitlines() if record.exists() else []
        return done, [json.loads(line) for line in lines]

    return run


MASKSSL = (sys.executable, "-m", "maskssl")
TRAIN = (*MASKSSL, "slurm-train")


@pytest.mark.parametrize("start", [TRAIN, ("bash", TOOLS / "slurm_train.sh")])
def test_srun_gets_one_task_per_gpu(slurm, start):
    done, calls = slurm(
        *start, "gpu part", "a job", "configs/x.py", "--seed", "3", "--work-dir", "with space",
        GPUS="16", CPUS_PER_TASK="7", SRUN_ARGS="--time=1:00 --comment='two words'", PORT="12345",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ((name, arguments, environment),) = calls
    assert name == "srun"
    python = arguments.index("-u") - 1
    assert arguments[:python] == [
        "--partition=gpu part", "--job-name=a job", "--signal=USR1@120", "--time=1:00",
        "--comment=two words", "--ntasks=16", "--ntasks-per-node=8", "--gres=gpu:8",
        "--cpus-per-task=7", "--kill-on-bad-exit=1",
    ]  # fmt: skip
    assert Path(arguments[python]).name.startswith("python")
    assert arguments[python + 1 :] == [
        "-u", "-m", "maskssl", "train", "configs/x.py", "--seed", "3", "--work-dir", "with space",
        "--launcher", "slurm",
    ]  # fmt: skip
    assert environment == dict(MASTER_PORT="12345")


def test_defaults_fit_the_number_of_gpus(slurm):
    script = ("bash", TOOLS / "slurm_test.sh")
    _, calls = slurm(*script, "p", "j", "c.py", "epoch_1.pth", GPUS="2")
    _, arguments, environment = calls[0]
    assert "--ntasks-per-node=2" in arguments and "--gres=gpu:2" in arguments
    assert arguments[-5:] == ["test", "c.py", "epoch_1.pth", "--launcher", "slurm"]
    assert 20000 <= int(environment["MASTER_PORT"]) < 40000
    _, calls = slurm(*TRAIN, "p", "j", "c.py")
    assert {"--ntasks=8", "--ntasks-per-node=8"} <= set(calls[1][1])


@pytest.mark.parametrize("code", [1, 137])
def test_a_failure_is_passed_on_and_not_requeued(slurm, code):
    done, calls = slurm(*TRAIN, "p", "j", "c.py", codes=dict(srun=code))
    assert (done.returncode, len(calls)) == (code, 1)


def test_an_attached_run_that_has_saved_says_how_to_go_on(slurm):
    done, calls = slurm(*TRAIN, "p", "j", "c.py", codes=dict(srun=75))
    assert (done.returncode, len(calls)) == (75, 1)
    assert "the same command with --resume" in done.stderr


def test_a_batch_job_is_submitted_and_requeues_itself(slurm):
    arguments = ["p", "j", "c.py", "--work-dir", "with space; $HOME"]
    done, calls = slurm(*TRAIN, *arguments, BATCH="1", GPUS="4", SRUN_ARGS="--time=1:00")
    assert done.returncode == 0, done.stderr
    ((name, submitted, _),) = calls
    assert name == "sbatch"
    assert submitted[:-1] == [
        "--partition=p", "--job-name=j", "--signal=USR1@120", "--time=1:00", "--ntasks=4",
        "--ntasks-per-node=4", "--gres=gpu:4", "--cpus-per-task=5", "--requeue",
        "--open-mode=append",
    ]  # fmt: skip
    wrapped = submitted[-1].removeprefix("--wrap=")
    # sbatch writes what is wrapped into a script, and runs that with the same environment
    job = dict(BATCH="1", GPUS="4", SRUN_ARGS="--time=1:00", SLURM_JOB_ID="77")
    done, calls = slurm("sh", "-c", wrapped, codes=dict(srun=75), **job)
    assert done.returncode == 0, done.stderr
    _, (step, started, _), (asked, what, _) = calls
    assert (step, asked, what) == ("srun", "scontrol", ["requeue", "77"])
    assert started[:5] == [
        "--ntasks=4", "--ntasks-per-node=4", "--gres=gpu:4", "--cpus-per-task=5",
        "--kill-on-bad-exit=1",
    ]  # fmt: skip
    assert started[-5:] == ["c.py", "--work-dir", "with space; $HOME", "--launcher", "slurm"]
    done, calls = slurm("sh", "-c", wrapped, codes=dict(srun=1), **job)
    assert (done.returncode, calls[-1][0]) == (1, "srun")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (dict(GPUS="many"), "GPUS=many is no number of GPUs"),
        (dict(GPUS="0"), "GPUS=0 is no number of GPUs"),
        (dict(GPUS_PER_NODE="x"), "GPUS_PER_NODE=x is no number of GPUs"),
        (dict(CPUS_PER_TASK="-1"), "CPUS_PER_TASK=-1 is no number of CPUs"),
        (dict(GPUS="12"), "GPUS=12 does not divide into nodes of GPUS_PER_NODE=8"),
        (dict(SRUN_ARGS="--comment='x"), "SRUN_ARGS=--comment='x: no closing quotation; write it"),
        (dict(commands=()), "there is no srun on the PATH: call this where"),
        (dict(commands=("srun",), BATCH="1"), "BATCH=1 needs sbatch"),
    ],
)
def test_slips_are_told_in_one_sentence(slurm, variables, said):
    done, calls = slurm(*TRAIN, "p", "j", "c.py", **variables)
    assert done.returncode == 1 and not calls
    assert done.stderr.startswith(f"SlurmError: {said}")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", ["slurm_train", "slurm_test", "dist_train", "dist_test"])
def test_missing_arguments_show_the_usage(slurm, name):
    done, _ = slurm("bash", TOOLS / f"{name}.sh", "p")
    assert done.returncode == 2
    assert done.stderr.startswith(f"usage: bash tools/{name}.sh ")


def test_what_is_for_slurm_says_that_it_is_untested(slurm):
    for name in ("slurm-train", "slurm-test"):
        done, _ = slurm(*MASKSSL, name, "--help")
        assert "NOT TESTED ON A REAL SLURM" in done.stdout


def saved(path: Path, time: float | None = None) -> str:
    """A whole checkpoint, written at a time and named as the newest of its folder."""
    epoch = int(path.stem.split("_")[1])
    write_checkpoint(dict(meta=dict(iter=epoch, epoch=epoch), optimizer={}), path)
    (path.parent / "last_checkpoint").write_text(str(path))
    if time is not None:
        os.utime(path, (time, time))
    return str(path)


def test_a_restarted_run_goes_on_from_its_own_checkpoint(tmp_path, monkeypatch):
    """A former run in the folder was further on."""

    def decisions():
        return [restarts.resume_from(given, tmp_path) for given in (None, "other.pth", "auto")]

    as_given = [None, "other.pth", "auto"]
    for epoch in (1, 2, 3, 4):
        saved(tmp_path / f"epoch_{epoch}.pth", 1000 + epoch)
    assert decisions() == as_given
    monkeypatch.setenv(LAUNCHED, "2000")
    assert decisions() == as_given  # the first start, or one before the first save
    first = saved(tmp_path / "epoch_1.pth", 2000)
    assert decisions() == [first] * 3
    second = saved(tmp_path / "epoch_2.pth", 3000)
    assert decisions() == [second] * 3
    Path(second).write_bytes(b"")  # damaged: the one before
    assert decisions() == [first] * 3
    (tmp_path / "last_checkpoint").unlink()
    assert decisions() == [first] * 3
    Path(first).write_bytes(b"")
    assert decisions() == as_given


def test_a_restarted_run_looks_where_it_saves(tmp_path, monkeypatch):
    monkeypatch.setenv(LAUNCHED, "2000")
    (tmp_path / "big/run").mkdir(parents=True)
    (tmp_path / "run").mkdir()
    own = saved(tmp_path / "big/run/epoch_1.pth")
    assert restarts.resume_from(None, tmp_path / "run", tmp_path / "big") == own


def test_slurm_counts_its_restarts(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert restarts.resume_from("other.pth", tmp_path) == "other.pth"
    saved(tmp_path / "epoch_3.pth", 1000)
    saved(tmp_path / "epoch_4.pth", 1001)  # of a former run
    first, second = (saved(tmp_path / f"epoch_{n}.pth", 2000 + n) for n in (1, 2))
    assert restarts.resume_from("other.pth", tmp_path) == second
    Path(second).write_bytes(b"")
    assert restarts.resume_from("other.pth", tmp_path) == first
    monkeypatch.setenv("SLURM_RESTART_COUNT", "0")
    assert restarts.resume_from("other.pth", tmp_path) == "other.pth"


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes") / "s"
    return write_scenes(folder, num_train=32, num_val=2, num_dense_train=2, num_dense_val=2)


@pytest.fixture
def two_processes(scenes, tmp_path):
    """Pretraining on two processes, started and left running; whatever is left is ended."""
    started = []

    def start(port, epochs, **variables):
        options = [
            f"train_dataloader.dataset.data_root={scenes / 'imagefolder'}",
            "train_dataloader.num_workers=0",
            "train_dataloader.persistent_workers=False",
            "train_dataloader.batch_size=8",
            f"train_cfg.max_epochs={epochs}",
            "default_hooks.checkpoint.interval=1",
        ]
        with (tmp_path / "output").open("w") as output:
            process = subprocess.Popen(
                ["bash", str(TOOLS / "dist_train.sh"),
                 str(ROOT / "configs/pretrain" / PRETRAIN), "2",
                 "--work-dir", str(tmp_path / "work"), "--cfg-options", *options],
                cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
                env={**os.environ, "MASKSSL_PYTHON": sys.executable, "PORT": str(port),
                     "OMP_NUM_THREADS": "1", **variables},
            )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(condition, process, output, seconds=300):
    """Until the condition holds, while the process runs."""
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None and time.monotonic() < end, output.read_text()[-4000:]
        time.sleep(0.05)


def rank_processes(launcher: int) -> dict[int, int]:
    """Rank -> process id of torchrun's children."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    found = {}
    for child in children:
        environment = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        ranks = [entry[5:] for entry in environment if entry.startswith(b"RANK=")]
        found |= {int(rank): int(child) for rank in ranks}
    return found


def test_the_python_that_made_the_environment_does_not_replace_it(tmp_path):
    """``PYTHON=python3.12 bash tools/quickstart.sh`` sets up by it and runs in .venv."""
    (tmp_path / "tools").mkdir()
    script = shutil.copy(TOOLS / "maskssl.sh", tmp_path / "tools")
    inside = tmp_path / ".venv" / "bin" / "python"
    inside.parent.mkdir(parents=True)
    for python in (inside, tmp_path / "other"):
        python.write_text(f"#!/bin/sh\necho {python.name}-of-{python.parent.name} $*\n")
        python.chmod(0o755)

    def told(**variables):
        done = subprocess.run(
            ["bash", script, "doctor"], env={**os.environ, **variables}, capture_output=True,
            text=True, check=True,
        )  # fmt: skip
        return done.stdout.strip()

    other = str(tmp_path / "other")
    assert told(PYTHON=other, MASKSSL_PYTHON="") == "python-of-bin -m maskssl doctor"
    assert told(MASKSSL_PYTHON=other) == f"other-of-{tmp_path.name} -m maskssl doctor"


@pytest.mark.skipif(torch.cuda.is_available(), reason="two processes over gloo")
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")
class TestOneRankDies:
    def test_the_others_stop(self, two_processes, tmp_path):
        process = two_processes(29641, epochs=1000)
        wait_for((tmp_path / "work/epoch_1.pth").exists, process, tmp_path / "output")
        ranks = rank_processes(process.pid)
        assert sorted(ranks) == [0, 1]
        os.kill(ranks[1], signal.SIGKILL)
        killed = time.monotonic()
        code = process.wait(timeout=STOPS_WITHIN)
        took = time.monotonic() - killed
        assert code not in (0, -signal.SIGKILL)
        assert not Path(f"/proc/{ranks[0]}").exists()
        assert "SIGKILL" in (tmp_path / "output").read_text()
        sys.stdout.write(f"stopped {took:.1f} s after the kill\n")

    def test_with_restarts_the_run_goes_on_to_its_end(self, two_processes, tmp_path):
        epochs = 12
        process = two_processes(29642, epochs, MAX_RESTARTS="1")
        output = tmp_path / "output"
        wait_for((tmp_path / "work/last_checkpoint").exists, process, output)
        os.kill(rank_processes(process.pid)[0], signal.SIGKILL)
        assert process.wait(timeout=300) == 0, output.read_text()[-4000:]
        text = output.read_text()
        assert f"started again by the launcher: the run goes on from {tmp_path}/work/epoch_" in text
        logs = sorted((tmp_path / "work").glob("*/vis_data/scalars.json"))
        first, second = ([json.loads(line) for line in log.open()] for log in logs)
        assert 1 < second[0]["epoch"] <= first[-1]["epoch"] + 1
        assert second[-1]["epoch"] == epochs
        assert torch.load(tmp_path / f"work/epoch_{epochs}.pth", weights_only=False)


@pytest.mark.parametrize(("command", "code"), [("kill -TERM $$", 143), ("exit 75", 75)])
def test_an_end_by_a_signal_is_told_as_a_shell_does(command, code, monkeypatch):
    monkeypatch.setattr(starting.signal, "signal", lambda *_: signal.SIG_DFL)  # Ctrl-C stays ours
    assert starting._attached(["sh", "-c", command]) == code


@pytest.mark.parametrize(
    ("given", "port"), [(dict(PORT="1", MASTER_PORT="2"), "1"), (dict(MASTER_PORT="2"), "2")]
)
def test_the_port_of_srun_is_the_one_that_is_given(given, port, monkeypatch):
    monkeypatch.setattr(starting.signal, "signal", lambda *_: signal.SIG_DFL)
    for name in ("PORT", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert starting._attached(["sh", "-c", f"test $MASTER_PORT = {port}"]) == 0
