#!/usr/bin/env bash
# Ferry's main job, for real: builds both programs and runs `ferryctl demo` with the arguments given.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/setup.sh
need gcc gcc dbus-daemon dbus-daemon ip iproute2
cargo build --release --locked
exec "$(cargo metadata --format-version 1 --no-deps --locked | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release/ferryctl" demo "$@"
