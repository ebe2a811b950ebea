"""Start a command under Slurm, one process per GPU. NOT TESTED ON A REAL SLURM.

tests/test_launch_scripts.py runs it with stand-ins for srun, sbatch and scontrol. Variables:
    GPUS (8), GPUS_PER_NODE (8, or GPUS if fewer), CPUS_PER_TASK (5), PORT (random)
    SRUN_ARGS  more options of the allocation, e.g. "--time=24:00:00 --account=x"
    BATCH=1    submit by sbatch instead of staying attached; when the time limit nears, the run
               saves, the job goes back into the queue and resumes from its newest checkpoint
"""

import argparse
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import MaskSSLError

SAVED = 75  # exit status of a run that has saved and wants to go on
WARNING_SECONDS = 120  # before the time limit every process is told to save
IN_JOB = "--in-job"


class SlurmError(MaskSSLError):
    """A variable that makes no allocation, or a Slurm command that is not there."""


@dataclass(frozen=True)
class Allocation:
    """What is asked of Slurm.

    Attributes:
        job: options that make the job.
        tasks: options that lay out its processes.
    """

    job: tuple[str, ...]
    tasks: tuple[str, ...]


def allocation(partition: str, name: str, variables: Mapping[str, str]) -> Allocation:
    """Read the variables.

    Raises:
        SlurmError: no numbers, GPUs that do not divide into nodes, or a quote left open.
    """
    gpus = _number("GPUS", variables.get("GPUS") or "8")
    per_node = _number("GPUS_PER_NODE", variables.get("GPUS_PER_NODE") or str(min(gpus, 8)))
    if gpus % per_node:
        raise SlurmError(f"GPUS={gpus} does not divide into nodes of GPUS_PER_NODE={per_node}")
    cpus = _number("CPUS_PER_TASK", variables.get("CPUS_PER_TASK") or "5")
    more = _options("SRUN_ARGS", variables.get("SRUN_ARGS") or "")
    return Allocation(
        (
            f"--partition={partition}",
            f"--job-name={name}",
            f"--signal=USR1@{WARNING_SECONDS}",
            *more,
        ),
        (
            f"--ntasks={gpus}",
            f"--ntasks-per-node={per_node}",
            f"--gres=gpu:{per_node}",
            f"--cpus-per-task={cpus}",
        ),
    )


def add_job_arguments(parser: argparse.ArgumentParser, command: str) -> None:
    """Partition and job; the rest is handed over to ``maskssl COMMAND``."""
    parser.add_argument(IN_JOB, action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("partition", help="of Slurm")
    parser.add_argument("job_name", help="of the job")
    parser.add_argument("config", help="config file")
    parser.add_argument("options", nargs=argparse.REMAINDER, help=f"handed to maskssl {command}")


def run_under_slurm(
    command: str, partition: str, name: str, arguments: Sequence[str], in_job: bool = False
) -> int:
    """Start ``maskssl COMMAND ARGUMENTS`` by srun, or hand it to sbatch.

    Args:
        command: 'train' or 'test'.
        partition: of Slurm.
        name: of the job.
        arguments: of the command.
        in_job: this is the batch job itself.

    Returns:
        The exit status.

    Raises:
        SlurmError: see ``allocation``; or srun or sbatch is not on the PATH.
    """
    asked = allocation(partition, name, os.environ)
    if not shutil.which("srun"):
        raise SlurmError(
            "there is no srun on the PATH: call this where Slurm's commands are, or use "
            f"maskssl {command} CONFIG --nproc N"
        )
    if os.environ.get("BATCH") == "1" and not in_job:
        if not shutil.which("sbatch"):
            raise SlurmError("BATCH=1 needs sbatch, which is not on the PATH")
        again = [f"slurm-{command}", IN_JOB, partition, name, *arguments]
        job = shlex.join([sys.executable, "-u", "-m", "maskssl", *again])
        requeued = ("--requeue", "--open-mode=append", f"--wrap={job}")
        return subprocess.call(["sbatch", *asked.job, *asked.tasks, *requeued])
    code = _attached(
        [
            *("srun", *(() if in_job else asked.job), *asked.tasks, "--kill-on-bad-exit=1"),
            *(sys.executable, "-u", "-m", "maskssl", command, *arguments, "--launcher", "slurm"),
        ]
    )
    if code == SAVED and in_job:
        _say(
            command,
            f"the run has saved; job {os.environ['SLURM_JOB_ID']} is put back into the "
            "queue and goes on by itself",
        )
        return subprocess.call(["scontrol", "requeue", os.environ["SLURM_JOB_ID"]])
    if code == SAVED:
        _say(
            command,
            "the run has saved and wants to go on: the same command with --resume "
            "(BATCH=1 does it alone)",
        )
    return code


def _attached(srun: Sequence[str]) -> int:
    """Wait for srun, to which Ctrl-C belongs."""
    # one port for all processes; jobs that share a node are unlikely to draw the same
    given = os.environ.get("PORT") or os.environ.get("MASTER_PORT")
    port = given or str(random.SystemRandom().randrange(20000, 40000))
    process = subprocess.Popen(srun, env={**os.environ, "MASTER_PORT": port})
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    code = process.wait()
    return code if code >= 0 else 128 - code  # of a signal, as a shell tells it


def _number(name: str, value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise SlurmError(f"{name}={value} is no number of {'CPUs' if 'CPU' in name else 'GPUs'}")
    return int(value)


def _options(name: str, value: str) -> list[str]:
    try:
        return shlex.split(value)
    except ValueError as error:  # No closing quotation
        raise SlurmError(f"{name}={value}: {str(error).lower()}; write it as in a shell") from error


def _say(command: str, sentence: str) -> None:
    sys.stderr.write(f"maskssl slurm-{command}: {sentence}\n")
