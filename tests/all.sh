#!/usr/bin/env bash
# All tests. Arguments go to `cargo test` (e.g. `bash tests/all.sh --test link`).
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/setup.sh
need gcc gcc dbus-daemon dbus-daemon ip iproute2 busctl systemd unshare util-linux \
  /usr/bin/python3 python3 /usr/lib/python3/dist-packages/gi python3-gi \
  curl curl node nodejs npm npm /usr/share/doc/python3-venv python3-venv
npm_folder tests/servers/tus-clients
python_folder tests/servers/tus-clients
npm_folder tests/servers/tus
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
cargo test --locked "$@" 2>&1 | tee "$log" || status=$?
# One line for the whole run: cargo prints one a binary.
awk '/^test result:/ { passed += $4; failed += $6 } END { printf "%d passed, %d failed\n", passed, failed }' "$log"
exit "$status"
