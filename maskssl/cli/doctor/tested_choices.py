"""Which ways of running the project has tried itself, and how; the rest is said to be untried."""

from .machine import Finding, Machine

# (way, where) -> how it was tried
TESTED: dict[tuple[str, str], str] = {
    ("one process", "CPU"): "every stage",
    ("one process", "one GPU"): "both pretrainings (H200)",
    ("maskssl train --nproc", "CPU"): "two gloo processes on one node, every stage",
    ("sharding fsdp2", "CPU"): "two gloo processes, against one process and against whole models",
    ("sharding deepspeed", "CPU"): "ZeRO 1 and 2, two gloo processes, against one process; not in "
    "CI",
}
UNTRIED = (
    "several GPUs (NCCL)",
    "several nodes",
    "a real Slurm (stand-ins for its commands were)",
    "sharding on GPUs",
)


def check_ways(machine: Machine) -> list[Finding]:
    """What was tried by the project, wherever that was."""
    del machine  # the same on all
    tried = "; ".join(f"{way} on {where}: {how}" for (way, where), how in TESTED.items())
    remedy = "when you run one of these, compare its first losses with those of a way that was"
    return [
        Finding("tried by us", "ok", tried),
        Finding("not tried by us", "absent", ", ".join(UNTRIED), remedy),
    ]
