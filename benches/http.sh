#!/bin/sh
# larder's hits beside other servers': installs these, builds the Go node, and runs the
# comparison. Without root the ones that are missing are left out.
set -eu
cd "$(dirname "$0")/.."
missing=
for program in wrk memcached memcslap:libmemcached-tools nginx; do
    PATH="$PATH:/usr/sbin" command -v "${program%:*}" >/dev/null || missing="$missing ${program#*:}"
done
if [ -n "$missing" ]; then
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        apt-get update -q || true
        # shellcheck disable=SC2086 # names without spaces
        apt-get install -q -y --no-install-recommends $missing || echo "not installed:$missing" >&2
    else
        echo "not installed, and only root of a Debian can:$missing" >&2
    fi
fi
if sh tests/interop/build.sh; then
    export LARDER_INTEROP_GO="$PWD/target/interop"
fi
cargo run --release --quiet --locked --manifest-path benches/compare/Cargo.toml --bin http -- "$@"
