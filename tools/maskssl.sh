#!/usr/bin/env bash
# maskssl with $MASKSSL_PYTHON, or the checkout's own if tools/setup.sh has made one: maskssl.sh COMMAND [options]
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=python
[ -x "$root/.venv/bin/python" ] && python=$root/.venv/bin/python
python=${MASKSSL_PYTHON:-$python}  # PYTHON is the one that tools/setup.sh makes .venv of
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
exec "$python" -m maskssl "$@"
