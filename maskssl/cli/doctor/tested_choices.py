"""Which ways of running the project has tried itself; the others say so when they start."""

import logging
import os

from mmengine.logging import print_log

# (choice, device type) -> how it was tried
TESTED: dict[tuple[str, str], str] = {
    ("one process", "cpu"): "every stage",
    ("launcher pytorch", "cpu"): "two gloo processes on one node, every stage",
    ("fsdp2", "cpu"): "two gloo processes, against one process and against DDP's checkpoints",
    ("deepspeed", "cpu"): "ZeRO 1 and 2, two gloo processes, against one process and DDP's files",
}


def ways_of_launching(launcher: str) -> list[str]:
    """What a run's start is made of, to be looked up one by one.

    Args:
        launcher: 'none', 'pytorch', 'slurm' or 'mpi'.
    """
    ways = ["one process" if launcher == "none" else f"launcher {launcher}"]
    nodes = os.environ.get("SLURM_NNODES" if launcher == "slurm" else "NNODES", "1")
    if launcher != "none" and nodes != "1":
        ways.append("several nodes")
    return ways


def warn_if_untested(choice: str, device: str) -> bool:
    """Log a warning when the project never ran a choice on this kind of device.

    Args:
        choice: as the config names it, e.g. 'fsdp2', or one of ``ways_of_launching``.
        device: type of the device, e.g. 'cuda'.

    Returns:
        Whether it was tested.
    """
    if (choice, device) in TESTED:
        return True
    tried = "; ".join(f"{name} on {where}: {how}" for (name, where), how in TESTED.items())
    print_log(
        f"this combination was not tested by the project: {choice} on {device} (tested: {tried}). "
        "Compare the losses of the first steps with those of a run that was",
        logger="current",
        level=logging.WARNING,
    )
    return False
