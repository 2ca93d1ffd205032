#!/bin/sh
# larder beside the Go node: builds the node, and runs benches/go.rs.
set -eu
cd "$(dirname "$0")/.."
if ! command -v wrk >/dev/null; then
    apt-get update -q
    apt-get install -q -y --no-install-recommends wrk
fi
sh tests/interop/build.sh
LARDER_INTEROP_GO="$PWD/target/interop" cargo bench --bench go
