#!/usr/bin/env bash
# Set everything up and run the main job: pretraining to transfer table, on drawn scenes
# or, with --images DIR, on your own. Options are those of maskssl quickstart.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bash "$here/setup.sh"
exec bash "$here/maskssl.sh" quickstart "$@"
