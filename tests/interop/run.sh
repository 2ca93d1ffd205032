#!/bin/sh
# Rings of larder and Go nodes.
set -eu
cd "$(dirname "$0")/../.."
sh tests/interop/build.sh
LARDER_INTEROP_GO="$PWD/target/interop" cargo test --test it interop
