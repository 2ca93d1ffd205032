#!/bin/sh
# The library without its binary: no async runtime among its dependencies, and few of them.
set -eu
MOST=55
names=$(cargo tree --edges normal --no-default-features --prefix none | awk '{print $1}' | sort -u)
count=$(echo "$names" | grep -vcx larder)
echo "$count crates below the lean library (at most $MOST)"
if [ "$count" -gt "$MOST" ]; then
    echo "too many:" $names
    exit 1
fi
all=$(cargo tree --edges normal --prefix none | awk '{print $1}' | sort -u)
for runtime in tokio async-std smol hyper; do
    if echo "$all" | grep -qx "$runtime"; then
        echo "$runtime is an async runtime"
        exit 1
    fi
done
