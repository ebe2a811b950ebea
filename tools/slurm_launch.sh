#!/usr/bin/env bash
# What slurm_train.sh and slurm_test.sh share; sbatch runs it too, from a copy that lies elsewhere:
#   slurm_launch.sh TOOLS start|job train|test PARTITION JOB_NAME CONFIG [options]
# NOT TESTED ON A REAL SLURM: tests/test_launch_scripts.py runs it with stand-ins for srun,
# sbatch and scontrol.
set -euo pipefail
tools=$1 mode=$2 tool=$3 partition=$4 name=$5 config=$6
rest=("${@:7}")
say() { echo "slurm_$tool.sh: $1" >&2; }
fail() { say "$1"; exit 2; }

gpus=${GPUS:-8}
[[ $gpus =~ ^[1-9][0-9]*$ ]] || fail "GPUS=$gpus is no number of GPUs"
per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
[[ $per_node =~ ^[1-9][0-9]*$ ]] || fail "GPUS_PER_NODE=$per_node is no number of GPUs"
((gpus % per_node == 0)) || fail "GPUS=$gpus does not divide into nodes of GPUS_PER_NODE=$per_node"
tasks=("--ntasks=$gpus" "--ntasks-per-node=$per_node" "--gres=gpu:$per_node"
    "--cpus-per-task=${CPUS_PER_TASK:-5}")
# 120 s before the time limit every process is told to save
read -ra more <<< "${SRUN_ARGS:-}"
job=("--partition=$partition" "--job-name=$name" "--signal=USR1@120" "${more[@]}")

command -v srun > /dev/null ||
    fail "there is no srun on the PATH: call this where Slurm's commands are, or use dist_$tool.sh"
if [ "$mode" = start ] && [ "${BATCH:-0}" = 1 ]; then
    command -v sbatch > /dev/null || fail "BATCH=1 needs sbatch, which is not on the PATH"
    exec sbatch "${job[@]}" "${tasks[@]}" --requeue --open-mode=append \
        "$tools/slurm_launch.sh" "$tools" job "$tool" "$partition" "$name" "$config" "${rest[@]}"
fi

python=python
[ -x "$tools/../.venv/bin/python" ] && python=$tools/../.venv/bin/python
# one port for all processes; jobs that share a node are unlikely to draw the same
export MASTER_PORT="${PORT:-${MASTER_PORT:-$((20000 + RANDOM % 20000))}}"
[ "$mode" = job ] && job=() # the allocation is there
code=0
srun "${job[@]}" "${tasks[@]}" --kill-on-bad-exit=1 \
    "$python" -u "$tools/$tool.py" "$config" --launcher slurm "${rest[@]}" || code=$?
[ "$code" = 75 ] || exit "$code" # 75: it has saved and wants to go on
if [ "$mode" = job ]; then
    say "the run has saved; job $SLURM_JOB_ID is put back into the queue and goes on by itself"
    scontrol requeue "$SLURM_JOB_ID"
else
    say "the run has saved and wants to go on: the same command with --resume (BATCH=1 does it alone)"
    exit "$code"
fi
