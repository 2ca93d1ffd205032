#!/bin/sh
# Builds the Go nodes into target/interop, from Debian's packages.
set -eu
cd "$(dirname "$0")/../.."
LIBRARY=/usr/share/gocode/src/github.com/golang/groupcache

if ! command -v go >/dev/null || [ ! -d "$LIBRARY" ]; then
    apt-get update -q
    apt-get install -q -y --no-install-recommends golang-go golang-github-golang-groupcache-dev
fi

# The packages' folder is the whole world: no modules, no network.
export GO111MODULE=off GOPATH=/usr/share/gocode GOFLAGS= CGO_ENABLED=0
export GOCACHE="$PWD/target/interop/cache"
unformatted=$(gofmt -l tests/interop/go)
if [ -n "$unformatted" ]; then
    echo "not as gofmt has it: $unformatted"
    exit 1
fi
# The tests hold the stand-in to the recorded bytes.
for program in groupnode standin; do
    go vet "./tests/interop/go/$program"
    go test "./tests/interop/go/$program"
    go build -o "target/interop/$program" "./tests/interop/go/$program"
done
