#!/usr/bin/env bash
# Test on N processes; several nodes as in dist_train.sh.
#   bash tools/dist_test.sh CONFIG CHECKPOINT N [options of tools/test.py]
set -euo pipefail
[ $# -ge 3 ] || { echo "usage: bash tools/dist_test.sh CONFIG CHECKPOINT N [options of tools/test.py]" >&2; exit 2; }
config=$1 checkpoint=$2 processes=$3
shift 3
exec bash "$(dirname "$0")/launch.sh" test "$config" "$processes" "$checkpoint" "$@"
