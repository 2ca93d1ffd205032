#!/bin/sh
# Installs Debian's memcached and redis-server. Where it cannot, the comparison goes on, and
# says that they are not installed.
set -eu
missing=
for program in memcached redis-server; do
    command -v "$program" >/dev/null || missing="$missing $program"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "not installed, and only root of a Debian can:$missing" >&2
    exit 0
fi
apt-get update -q || true
# shellcheck disable=SC2086 # names without spaces
apt-get install -q -y --no-install-recommends $missing || echo "not installed:$missing" >&2
