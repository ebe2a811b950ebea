#!/usr/bin/env bash
# Train under Slurm, one process per GPU. NOT TESTED ON A REAL SLURM.
#   [VARIABLES] bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG [options of tools/train.py]
# GPUS (8), GPUS_PER_NODE (8, or GPUS if fewer), CPUS_PER_TASK (5), PORT (random)
# SRUN_ARGS   more options of the allocation, e.g. "--time=24:00:00 --account=x"
# BATCH=1     submit by sbatch instead of staying attached; when the time limit nears, the run
#             saves, the job goes back into the queue and resumes from its newest checkpoint
set -euo pipefail
[ $# -ge 3 ] || { echo "usage: bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG [options of tools/train.py]" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
exec bash "$here/slurm_launch.sh" "$here" start train "$@"
