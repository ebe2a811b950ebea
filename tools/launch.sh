#!/usr/bin/env bash
# What dist_train.sh and dist_test.sh share: launch.sh train|test CONFIG N [options]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
tool=$1 config=$2 processes=$3
shift 3
python=python
[ -x "$here/../.venv/bin/python" ] && python=$here/../.venv/bin/python
# torchrun's default of one thread per process wastes a CPU node's cores
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$(($(nproc) / processes > 0 ? $(nproc) / processes : 1))}"
exec "$python" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    --nproc_per_node="$processes" \
    "$here/$tool.py" "$config" --launcher pytorch "$@"
