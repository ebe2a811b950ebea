"""Where jobs of this machine run side by side."""

import os
import sys

import torch

from .job_queue import Lanes

WARMED = f"{__package__}.warmed"


def plan_lanes(alone: bool = False) -> Lanes:
    """One job at a time per GPU, else two or four on the CPU.

    Small models use two cores better by two processes than by two threads. Threads of the
    other process find the core free while these wait (a passive wait policy).

    Args:
        alone: one job at a time, with all cores: for what is timed.
    """
    cores = len(os.sched_getaffinity(0))
    gpus = _visible_gpus()
    count = 1 if alone else len(gpus) or min(cores, 2 if cores <= 4 else 4)
    environments = [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in gpus[:count]] or [{}] * count
    common = {
        "OMP_NUM_THREADS": str(max(1, cores // count)),
        "OMP_WAIT_POLICY": "passive",
        # a process that has asked the driver for GPUs cannot be forked; this asks NVML
        "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),  # the fork server imports as we do
    }
    return Lanes(environments, [WARMED], common)


def _visible_gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES calls each GPU that this process may use."""
    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return named.split(",")[:count] if named else [str(index) for index in range(count)]
