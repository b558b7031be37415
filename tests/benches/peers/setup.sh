#!/usr/bin/env bash
# Makes the peers' Python environment: setup.sh DIR
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
dir="$1"
python3 -m venv "$dir"
"$dir/bin/pip" install --quiet --requirement "$here/requirements.txt"
"$dir/bin/pip" install --quiet --no-deps torch==2.15.0
python3 "$here/stubs.py" "$dir"/lib/python3.11/site-packages/torch/lib "$dir/no-cuda"
