"""Where jobs of this machine run side by side."""

import os
import sys

import torch

from ..errors import MaskSSLError
from .job_queue import Lanes

WARMED = f"{__package__}.warmed"


SMALL_MODELS = 4  # jobs of a few blocks that one GPU takes at once
_CORES_OF_A_JOB = 2  # that a job on a GPU keeps busy


def plan_lanes(alone: bool = False, per_gpu: int = 1) -> Lanes:
    """As many jobs at a time per GPU as are said, else two or four on the CPU.

    Small models use two cores better by two processes than by two threads. Threads of the
    other process find the core free while these wait (a passive wait policy).

    Args:
        alone: one job at a time, with all cores: for what is timed.
        per_gpu: jobs that share a GPU, as far as there are cores for them. Steps of small models
            leave it idle between their kernels.

    Raises:
        MaskSSLError: less than one job.
    """
    if per_gpu < 1:
        raise MaskSSLError(f"{per_gpu} jobs on a GPU: give 1 or more (--jobs-per-gpu)")
    cores = len(os.sched_getaffinity(0))
    gpus = _visible_gpus()
    per_gpu = max(1, min(per_gpu, cores // (_CORES_OF_A_JOB * max(1, len(gpus)))))
    count = 1 if alone else len(gpus) * per_gpu or min(cores, 2 if cores <= 4 else 4)
    environments = [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in (gpus * per_gpu)[:count]]
    environments = environments or [{}] * count
    threads = max(1, cores // count)
    common = {
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "passive",
        # a process that has asked the driver for GPUs cannot be forked; this asks NVML
        "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),  # the fork server imports as we do
    }
    return Lanes(environments, [WARMED], common, threads)


def _visible_gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES calls each GPU that this process may use."""
    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return named.split(",")[:count] if named else [str(index) for index in range(count)]
