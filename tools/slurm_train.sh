#!/usr/bin/env bash
# Train under Slurm, one process per GPU. NOT TESTED ON A REAL SLURM. Variables: maskssl/cli/slurm.py.
#   [VARIABLES] bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG [options of maskssl train]
set -euo pipefail
[ $# -ge 3 ] || { echo "usage: bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG [options of maskssl train]" >&2; exit 2; }
exec bash "$(dirname "$0")/maskssl.sh" slurm-train "$@"
