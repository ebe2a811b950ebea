"""Start a command on several processes of this node, by torchrun.

Variables, as torch's own launchers and OpenMMLab's scripts know them:
    NNODES, NODE_RANK, MASTER_ADDR, PORT   several nodes, the same command on each
    MAX_RESTARTS=N       when a process dies, start all of them again, up to N times (0); a
                         training goes on from its newest checkpoint, see restarts.py
    SHUTDOWN_TIMEOUT=60  seconds that the others get to save and leave before they are killed
"""

import os
import sys
import time
from collections.abc import Mapping, Sequence

# set where torchrun may restart: seconds since 1970 at the launch, see restarts.py
LAUNCHED = "MASKSSL_LAUNCHED"
OPTION = "--nproc"


def start_processes(command: str, arguments: Sequence[str], processes: int) -> None:
    """Replace this process by torchrun's, which runs the command N times.

    Args:
        command: name of the command.
        arguments: of the command line; ``--nproc`` is taken out of them.
        processes: on this node.
    """
    variables = launch_variables(os.environ, processes, len(os.sched_getaffinity(0)), time.time())
    started = [
        *launch_command(variables, processes),
        *("-m", "maskssl", command, *_without_option(arguments), "--launcher", "pytorch"),
    ]
    sys.stdout.flush()
    os.execve(sys.executable, started, variables)


def launch_variables(
    environment: Mapping[str, str], processes: int, cores: int, now: float
) -> dict[str, str]:
    """The environment of the launcher and of what it starts.

    Args:
        environment: of this process.
        processes: on this node.
        cores: that this process may use.
        now: seconds since 1970.
    """
    added = {
        # torchrun's default of one thread per process wastes a CPU node's cores
        "OMP_NUM_THREADS": environment.get("OMP_NUM_THREADS") or str(max(1, cores // processes)),
        # by variables, which an older torchrun ignores, where options would stop it
        "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": environment.get("SHUTDOWN_TIMEOUT") or "60",
        "PET_SIGNALS_TO_HANDLE": "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1",  # Slurm's is SIGUSR1
    }
    if environment.get("MAX_RESTARTS", "0") != "0":
        # The processes find each other in a store; one that the agent keeps, as it does by default
        # and for a static meeting, holds the addresses of dead ones, and the restarted connect in
        # vain.
        added["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
        added[LAUNCHED] = str(int(now))  # what is saved from now on is this run's
    return {**environment, **added}


def launch_command(variables: Mapping[str, str], processes: int) -> list[str]:
    """torchrun with its options, up to what it is to run."""
    address = variables.get("MASTER_ADDR") or "127.0.0.1"
    port = variables.get("PORT") or "29500"
    node = variables.get("NODE_RANK") or "0"
    restarts = variables.get("MAX_RESTARTS") or "0"
    options = [f"--nnodes={variables.get('NNODES') or 1}", f"--nproc_per_node={processes}"]
    if restarts == "0":
        options += [f"--node_rank={node}", f"--master_addr={address}", f"--master_port={port}"]
    else:
        host = node == "0"
        options += [
            "--rdzv_backend=c10d",
            f"--rdzv_endpoint={address}:{port}",
            f"--rdzv_id=maskssl-{port}",
            f"--rdzv_conf=is_host={str(host).lower()}",
            f"--max_restarts={restarts}",
            # else the host's own name, which not every container resolves
            *([f"--local_addr={address}"] if host else []),
        ]
    return [sys.executable, "-m", "torch.distributed.run", *options]


def _without_option(arguments: Sequence[str]) -> list[str]:
    """The command line without ``--nproc N`` and ``--nproc=N``."""
    kept: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument == OPTION:
            next(rest)
        elif not argument.startswith(f"{OPTION}="):
            kept.append(argument)
    return kept
