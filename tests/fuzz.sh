#!/usr/bin/env bash
# Looks for inputs that break something, with a fuzzer that watches which branches its inputs take (docs/fuzzing.md).
# bash tests/fuzz.sh SECONDS [CORPUS...]: each of these corpora so long, all of them if none is named.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:?usage: bash tests/fuzz.sh SECONDS [CORPUS...]}
shift
[ $# -gt 0 ] || set -- $(ls tests/corpora)

# What libFuzzer needs of a build, all of it stable: where it is, and which branches and comparisons led there. Only what is
# compiled for the target is built so, not what runs at build time.
host=$(rustc -vV | sed -n 's/^host: //p')
flags="--cfg fuzzing -Cpasses=sancov-module --cfg fuzzing_libfuzzer"
for what in inline-8bit-counters level=4 pc-table trace-compares stack-depth; do
  flags+=" -Cllvm-args=-sanitizer-coverage-$what"
done
built=$(RUSTFLAGS="$flags" cargo test --locked --lib --no-run --profile fuzz --target "$host" --target-dir target/fuzz \
  --message-format=json | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -1)

status=0
for corpus in "$@"; do
  # The test that feeds it.
  test=$(grep -l "fuzz!(\"$corpus\"" -r src | head -1)
  name=$(awk -v call="fuzz!(\"$corpus\"" '/fn /{ sub(/.*fn /, ""); sub(/\(.*/, ""); last = $0 } index($0, call) { print last }' "$test")
  [ -n "$name" ] || { echo "no test feeds $corpus" >&2; exit 2; }
  path=$("$built" --list 2>/dev/null | sed -n "s/^\(.*::$name\): test$/\1/p")
  found=target/fuzz/found/$corpus
  mkdir -p "$found/new" "$found/crashes"
  echo "== $corpus: $path"
  options="-artifact_prefix=$found/crashes/ -max_total_time=$seconds -max_len=16384 -timeout=10 -rss_limit_mb=1024"
  BOLERO_LIBTEST_HARNESS=1 BOLERO_TEST_NAME="$path" BOLERO_LIBFUZZER_ARGS="$found/new tests/corpora/$corpus $options" \
    "$built" "$path" --exact --nocapture --quiet --test-threads 1 || status=1
done
exit "$status"
