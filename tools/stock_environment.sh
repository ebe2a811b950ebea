#!/usr/bin/env bash
# A second environment, .venv-stock: the stock open-mmlab packages of requirements/stock.txt in
# place of the onedl ones, everything else (torch, numpy, timm …) shared with .venv by links.
# Idempotent. tests/test_without_ops.py runs in it; prints its Python.
#
#   bash tools/stock_environment.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

VENV="${MASKSSL_VENV:-.venv}"
STOCK="$VENV-stock"
LOG=logs/stock.log
mkdir -p logs

site() { "$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }
fingerprint() { { ls "$(site "$VENV")"; cat requirements/stock.txt "${BASH_SOURCE[0]}"; pwd; } | sha256sum; }

build() {
    local from to entry
    rm -rf "$STOCK"
    "$VENV/bin/python" -m venv --without-pip "$STOCK"
    from=$(site "$VENV") to=$(site "$STOCK")
    for entry in "$from"/*; do
        case ${entry##*/} in
            mmengine | mmcv | mmpretrain | mmseg | mmdet | onedl_* | __pycache__) ;;
            *) ln -s "$entry" "$to/" ;;
        esac
    done
    "$VENV/bin/uv" pip install --quiet --python "$STOCK/bin/python" --no-deps --require-hashes \
        -r requirements/stock.txt
    fingerprint >"$STOCK/.ready"
}

if [ ! -f "$STOCK/.ready" ] || [ "$(cat "$STOCK/.ready")" != "$(fingerprint)" ]; then
    build >"$LOG" 2>&1 || { tail -n 25 "$LOG" >&2; echo "STOPPED: the stock environment; see $LOG" >&2; exit 1; }
fi
echo "$(cd "$STOCK" && pwd)/bin/python"
