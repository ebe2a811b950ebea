#!/usr/bin/env bash
# Prepare .venv with every pinned package and mmcv's compiled ops. Idempotent:
# a second call only compares a fingerprint. Sourced or run by quickstart.sh
# and run_tests.sh; everything it does is written to logs/setup.log.
#
#   bash tools/setup.sh            PYTHON=python3.12 bash tools/setup.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PYTHON="${PYTHON:-python3}"
VENV="${MASKSSL_VENV:-.venv}"
NEED_GB=14
LOG=logs/setup.log
START=$SECONDS
mkdir -p logs

say() { printf '[setup %3ds] %s\n' "$((SECONDS - START))" "$*" | tee -a "$LOG" >&2; }
die() { say "STOPPED: $*"; exit 1; }

# What the set-up depends on, and what lies in the environment: a package added,
# removed or exchanged later makes the next call go through everything again.
fingerprint() {
    {
        "$1" -c 'import sys, importlib.metadata as m; print(sys.version, *sorted({f"{d.name} {d.version}" for d in m.distributions()}))'
        cat requirements/*.txt pyproject.toml setup.py tools/setup.sh
        pwd
    } | sha256sum | cut -d' ' -f1
}

ready() {
    [ -x "$VENV/bin/python" ] && [ -f "$VENV/.maskssl-ready" ] &&
        [ "$(cat "$VENV/.maskssl-ready")" = "$(fingerprint "$VENV/bin/python")" ]
}

check_machine() {
    [ "$(uname -s)" = Linux ] || die "the pinned set-up is for Linux, this is $(uname -s). Install torch and mmcv yourself, then: pip install .[seg,det]"
    command -v "$PYTHON" >/dev/null || die "no '$PYTHON' on the PATH. Install Python 3.10 or newer, or name one: PYTHON=/path/to/python bash tools/setup.sh"
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        die "$PYTHON is $("$PYTHON" -V 2>&1); Python 3.10 or newer is needed. Name one: PYTHON=python3.11 bash tools/setup.sh"
    "$PYTHON" -c 'import venv, ensurepip' 2>/dev/null || die "$PYTHON has no venv module. On Debian or Ubuntu: apt-get install python3-venv"
    command -v git >/dev/null || die "git is missing. On Debian or Ubuntu: apt-get install git"
    command -v "${CXX:-c++}" >/dev/null || die "no C++ compiler ('${CXX:-c++}'), and mmcv's ops are compiled here. On Debian or Ubuntu: apt-get install build-essential"
    local include free
    include=$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("include"))')
    [ -f "$include/Python.h" ] || die "Python.h is not in $include, and mmcv's ops need it. On Debian or Ubuntu: apt-get install python3-dev"
    free=$(df -Pk . | awk 'NR == 2 {print int($4 / 1048576)}')
    [ "$free" -ge "$NEED_GB" ] || [ -d "$VENV" ] || die "$free GB free here, $NEED_GB GB are needed (torch with its CUDA libraries is the most of it)"
}

# run MESSAGE COMMAND…: the command's output goes to the log; a line every ten
# seconds says how long it has taken and, for a ninja build, how far it is.
run() {
    local message=$1 pid begun=$SECONDS mark counter status=0
    shift
    say "$message"
    mark=$(wc -l <"$LOG")
    "$@" >>"$LOG" 2>&1 &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        sleep 1
        if [ $(((SECONDS - begun) % 10)) -eq 9 ]; then
            counter=$(tail -n +"$((mark + 1))" "$LOG" | grep -oE '\[[0-9]+/[0-9]+\]' | tail -n 1 || true)
            printf '[setup %3ds]   … %s %s\n' "$((SECONDS - START))" "$message" "$counter" >&2
        fi
    done
    wait "$pid" || status=$?
    [ "$status" -eq 0 ] || { tail -n +"$((mark + 1))" "$LOG" | tail -n 25 >&2; die "'$message' failed (exit $status); the whole output is in $LOG"; }
}

has_ops() { "$VENV/bin/python" -c 'import torch, mmcv._ext' >>"$LOG" 2>&1; }

build_mmcv() {
    MMCV_WITH_OPS=1 MAX_JOBS="${MAX_JOBS:-$(nproc)}" PATH="$PWD/$VENV/bin:$PATH" \
        "$VENV/bin/uv" pip install --python "$VENV/bin/python" --verbose --no-deps --no-build-isolation \
        --require-hashes -r requirements/mmcv.txt "$@"
}

main() {
    if ready; then
        say "ready: $VENV matches requirements/"
        return
    fi
    : >"$LOG"
    check_machine
    if [ ! -x "$VENV/bin/python" ]; then
        run "creating $VENV with $("$PYTHON" -V 2>&1)" "$PYTHON" -m venv "$VENV"
    fi
    run "installing uv" "$VENV/bin/python" -m pip install --quiet --require-hashes --no-deps -r requirements/uv.txt
    run "installing the pinned packages" \
        "$VENV/bin/uv" pip install --python "$VENV/bin/python" --no-deps --require-hashes -r requirements/lock.txt
    run "building mmcv's ops against torch (about 10 minutes on 2 cores the first time, seconds after)" build_mmcv
    if ! has_ops; then
        # a wheel built earlier without torch, or against another one, sits in uv's cache
        run "the cached mmcv has no usable ops; building it anew" build_mmcv --reinstall --no-cache
        has_ops || die "mmcv was built without its ops (import mmcv._ext fails); the compiler's words are in $LOG"
    fi
    run "installing maskssl itself" \
        "$VENV/bin/uv" pip install --python "$VENV/bin/python" --no-deps --no-build-isolation --editable .
    "$VENV/bin/python" tools/doctor.py --import >>"$LOG" 2>&1 || die "maskssl doctor --import refuses this environment: $(tail -n 1 "$LOG")"
    fingerprint "$VENV/bin/python" >"$VENV/.maskssl-ready"
    say "ready"
}

main
