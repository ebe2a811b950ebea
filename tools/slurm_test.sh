#!/usr/bin/env bash
# Test under Slurm, one process per GPU; variables as in slurm_train.sh. NOT TESTED ON A REAL SLURM.
#   [VARIABLES] bash tools/slurm_test.sh PARTITION JOB_NAME CONFIG [CHECKPOINT] [options of tools/test.py]
set -euo pipefail
[ $# -ge 3 ] || { echo "usage: bash tools/slurm_test.sh PARTITION JOB_NAME CONFIG [CHECKPOINT] [options of tools/test.py]" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
exec bash "$here/slurm_launch.sh" "$here" start test "$@"
