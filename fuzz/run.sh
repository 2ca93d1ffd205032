#!/bin/sh
# Each target for SECONDS seconds, from the inputs in fuzz/corpus: executions and findings.
# What is found stays in fuzz/artifacts; new inputs are in fuzz/work, of which `cargo fuzz cmin`
# makes a corpus.
set -eu
cd "$(dirname "$0")/.."
seconds=$1
shift
command -v cargo-fuzz >/dev/null || cargo install --locked --quiet cargo-fuzz
# Targets make folders of their own, and a fuzzer that is ended does not clean up.
TMPDIR=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
[ $# -gt 0 ] || set -- $(ls fuzz/fuzz_targets | sed 's/\.rs$//')
cargo +nightly fuzz build
table="target executions executions/s inputs findings"
found=0
for target in "$@"; do
    mkdir -p "fuzz/work/$target" "fuzz/artifacts/$target"
    log=fuzz/work/$target.log
    # No input is longer than 4 KiB: whoever allocates more than 32 MiB for it believes a length.
    cargo +nightly fuzz run "$target" "fuzz/work/$target" "fuzz/corpus/$target" -- \
        -max_total_time="$seconds" -max_len=4096 -timeout=5 -malloc_limit_mb=32 \
        -print_final_stats=1 >"$log" 2>&1 || tail -n 40 "$log"
    stat() { sed -n "s/^stat::$1: *//p" "$log" | tail -n 1; }
    findings=$(find "fuzz/artifacts/$target" -type f | wc -l)
    found=$((found + findings))
    executions=$(stat number_of_executed_units)
    table="$table
$target ${executions:-?} $(stat average_exec_per_sec) $(ls "fuzz/work/$target" | wc -l) $findings"
done
echo "$table" | column -t
exit $((found > 0))
