#!/usr/bin/env bash
# Test on N processes; several nodes as in dist_train.sh.
#   bash tools/dist_test.sh CONFIG CHECKPOINT N [options of maskssl test]
set -euo pipefail
[ $# -ge 3 ] || { echo "usage: bash tools/dist_test.sh CONFIG CHECKPOINT N [options of maskssl test]" >&2; exit 2; }
exec bash "$(dirname "$0")/maskssl.sh" test "$1" "$2" --nproc "$3" "${@:4}"
