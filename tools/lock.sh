#!/usr/bin/env bash
# Resolve requirements/*.txt anew (maintainers only; needs uv on the PATH).
# The files carry versions and hashes and no registry addresses.
set -euo pipefail
cd "$(dirname "$0")/.."
export UV_CUSTOM_COMPILE_COMMAND="bash tools/lock.sh"
# a look-up anew would make uv forget the wheel of mmcv that it has built in the usual cache
UV_CACHE_DIR=$(mktemp -d)
export UV_CACHE_DIR
trap 'rm -rf "$UV_CACHE_DIR"' EXIT
compile() {
    uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-annotate \
        --override requirements/overrides.txt --constraint requirements/constraints.txt "$@"
}
# mmcv is built on its own, once torch is there: see tools/setup.sh
compile pyproject.toml --extra seg --extra det --extra dev --extra docs --extra build \
    --no-emit-package onedl-mmcv --output-file requirements/lock.txt
compile --no-deps requirements/mmcv.in --output-file requirements/mmcv.txt
compile --no-deps requirements/stock.in --output-file requirements/stock.txt
compile --no-deps requirements/uv.in --output-file requirements/uv.txt
