#!/usr/bin/env bash
# Set everything up and run the main job: pretraining to transfer table, on drawn scenes
# or, with --images DIR, on your own. Options are those of tools/quickstart.py.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bash "$here/setup.sh"
exec "$here/../.venv/bin/python" "$here/quickstart.py" "$@"
