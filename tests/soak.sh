#!/usr/bin/env bash
# All soaks, one after the other: every fault and every point where CI takes a sample, a million simulated lives, and half a
# minute of looking for bad input for each corpus. Takes more than an hour on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."
export FERRY_TEST_LONG=1
bash tests/all.sh
cargo run --locked --release --example soak
bash tests/fuzz.sh 30
