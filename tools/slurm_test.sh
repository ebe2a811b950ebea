#!/usr/bin/env bash
# Test under Slurm, one process per GPU. NOT TESTED ON A REAL SLURM. Variables: maskssl/cli/slurm.py.
#   [VARIABLES] bash tools/slurm_test.sh PARTITION JOB_NAME CONFIG [CHECKPOINT] [options of maskssl test]
set -euo pipefail
[ $# -ge 3 ] || { echo "usage: bash tools/slurm_test.sh PARTITION JOB_NAME CONFIG [CHECKPOINT] [options of maskssl test]" >&2; exit 2; }
exec bash "$(dirname "$0")/maskssl.sh" slurm-test "$@"
