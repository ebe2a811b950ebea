"""Test under Slurm, one process per GPU. NOT TESTED ON A REAL SLURM.

[VARIABLES] maskssl slurm-test PARTITION JOB_NAME CONFIG [CHECKPOINT] [options of maskssl test]

GPUS (8), GPUS_PER_NODE (8, or GPUS if fewer), CPUS_PER_TASK (5), PORT (random);
SRUN_ARGS: more options of the allocation, e.g. "--time=24:00:00 --account=x";
BATCH=1: submit by sbatch instead of staying attached.
"""

import argparse

from ..cli.slurm import add_job_arguments, run_under_slurm


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Partition and job; the rest is handed over."""
    add_job_arguments(parser, "test")


def run(args: argparse.Namespace) -> int:
    """Start it by srun, or submit it."""
    handed = [args.config, *args.options]
    return run_under_slurm("test", args.partition, args.job_name, handed, args.in_job)
