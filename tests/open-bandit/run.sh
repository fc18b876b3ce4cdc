#!/usr/bin/env bash
# Compares the results that a running platform serves for the demo's real A/B test with SciPy and statsmodels, to 1e-9.
#   tests/open-bandit/run.sh BASE_URL ADMIN_TOKEN        for example run.sh http://127.0.0.1:8787 "$(cat data/admin-token)"
# The demo workspace must be loaded (`make run`, or `evenhand demo`). Needs Python's standard library only.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ $# = 2 ] || { echo "usage: $0 BASE_URL ADMIN_TOKEN" >&2; exit 2; }
exec python3 -B "$here/compare.py" "$1" "$2"
