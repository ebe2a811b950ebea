#!/usr/bin/env bash
# Set everything up, then linters, then tests. Without arguments the tests that start other
# interpreters run beside the others, as either half leaves a core idle. Arguments go to pytest:
#
#   bash tools/run_tests.sh            bash tools/run_tests.sh tests/models -k vit
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash tools/setup.sh
BIN="${MASKSSL_VENV:-.venv}/bin"

# the tests' tensors are small: more threads only wait for one another
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
export MPLBACKEND=Agg

# lint REMEDY COMMAND…
lint() {
    local remedy=$1
    shift
    echo "[lint] $*"
    "$BIN/$@" || { echo "STOPPED: '$*' found something: $remedy" >&2; exit 1; }
}

lint "mend the lines above, some by $BIN/ruff check --fix" ruff check --quiet --output-format concise .
lint "run $BIN/ruff format" ruff format --quiet --check --output-format concise .
lint "mend the types above" mypy --no-error-summary
lint "mend the spelling, or list the word under [tool.codespell] in pyproject.toml" \
    codespell maskssl configs tools tests docs ./*.md pyproject.toml setup.py mkdocs.yml
lint "an import runs up the floors of docs/house.md: move what is imported down, or the importer up" \
    lint-imports
lint "mend the pages, or their places in mkdocs.yml" mkdocs build --quiet --strict --site-dir "$(mktemp -d)"

if [ $# -gt 0 ]; then
    exec "$BIN/python" -m pytest --quiet --durations=15 "$@"
fi
log=logs/slow_tests.log
"$BIN/python" -m pytest --quiet --durations=15 -m slow >"$log" 2>&1 &
slow=$! failed=0
trap 'kill "$slow" 2>/dev/null || true' EXIT
"$BIN/python" -m pytest --quiet --durations=15 -m 'not slow' || failed=1
wait "$slow" || failed=1
echo "[tests that start other interpreters, $log]"
cat "$log"
exit "$failed"
