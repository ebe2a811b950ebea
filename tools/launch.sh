#!/usr/bin/env bash
# What dist_train.sh and dist_test.sh share: launch.sh train|test CONFIG N [options]
#   MAX_RESTARTS=N       when a process dies, start all of them again, up to N times (0); a training
#                        goes on from its newest checkpoint, see maskssl/cli/restarts.py
#   SHUTDOWN_TIMEOUT=60  seconds that the others get to save and leave before they are killed
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
tool=$1 config=$2 processes=$3
shift 3
python=python
[ -x "$here/../.venv/bin/python" ] && python=$here/../.venv/bin/python
# torchrun's default of one thread per process wastes a CPU node's cores
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$(($(nproc) / processes > 0 ? $(nproc) / processes : 1))}"
# by variables, which an older torchrun ignores, where options would stop it
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT="${SHUTDOWN_TIMEOUT:-60}"
export PET_SIGNALS_TO_HANDLE=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1 # Slurm warns by SIGUSR1
address=${MASTER_ADDR:-127.0.0.1} port=${PORT:-29500} node=${NODE_RANK:-0}
if [ "${MAX_RESTARTS:-0}" = 0 ]; then
    meeting=("--node_rank=$node" "--master_addr=$address" "--master_port=$port")
else
    # The processes find each other in a store; one that the agent keeps, as it does by default and
    # for a static meeting, holds the addresses of dead ones, and the restarted connect in vain.
    export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
    MASKSSL_LAUNCHED=$(date +%s) # what is saved from now on is this run's, see restarts.py
    export MASKSSL_LAUNCHED
    host=false
    [ "$node" = 0 ] && host=true
    meeting=(--rdzv_backend=c10d "--rdzv_endpoint=$address:$port" "--rdzv_id=maskssl-$port"
        "--rdzv_conf=is_host=$host" "--max_restarts=$MAX_RESTARTS")
    # else the host's own name, which not every container resolves
    [ "$node" = 0 ] && meeting+=("--local_addr=$address")
fi
exec "$python" -m torch.distributed.run --nnodes="${NNODES:-1}" "${meeting[@]}" \
    --nproc_per_node="$processes" "$here/$tool.py" "$config" --launcher pytorch "$@"
