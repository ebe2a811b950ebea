#!/usr/bin/env bash
# Train on N processes of this node; several nodes and restarts: see maskssl/cli/processes.py.
#   bash tools/dist_train.sh CONFIG N [options of maskssl train]
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: bash tools/dist_train.sh CONFIG N [options of maskssl train]" >&2; exit 2; }
exec bash "$(dirname "$0")/maskssl.sh" train "$1" --nproc "$2" "${@:3}"
