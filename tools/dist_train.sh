#!/usr/bin/env bash
# Train on N processes of this node, one per GPU, or over gloo where there is none.
#   bash tools/dist_train.sh CONFIG N [options of tools/train.py]
# Several nodes: NNODES, NODE_RANK, MASTER_ADDR and PORT, the same command on each.
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: bash tools/dist_train.sh CONFIG N [options of tools/train.py]" >&2; exit 2; }
exec bash "$(dirname "$0")/launch.sh" train "$@"
