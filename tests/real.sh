#!/usr/bin/env bash
# Thousands of real files through three nodes: each file is fetched through every node, must be
# what is on the disk, and must have been read from there once.
#
#   bash tests/real.sh [LARDER [FOLDER]]      FILES=3000 of FOLDER at most
#
# FOLDER is by default Rust's documentation, or else that of the system.
set -euo pipefail
export LC_ALL=C

larder=$(realpath "${1:-target/release/larder}")
files=${FILES:-3000}
least=${LEAST:-2000}
value_bytes=$((8 << 20)) # larder's limit for a value
nodes="1 2 3"

fail() {
    echo "real: $*" >&2
    exit 1
}

temp=$(mktemp -d)
pids=()

stop_nodes() {
    if ((${#pids[@]})); then
        kill -KILL "${pids[@]}" 2>/dev/null || true
        wait "${pids[@]}" 2>/dev/null || true
    fi
    pids=()
}

clean_up() {
    stop_nodes
    rm -rf "$temp"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The regular files, as keys: names that are not UTF-8 or hold a line break are none.
list() {
    (cd "$1" && find . -type f -size -"${value_bytes}c" ! -name $'*\n*' 2>/dev/null |
        sed 's|^\./||' | LC_ALL=C.UTF-8 grep -ax '.*' | sort)
}

choose() {
    local folder
    for folder in "$@"; do
        [[ -d $folder ]] || continue
        list "$folder" >"$temp/all"
        (($(wc -l <"$temp/all") >= least)) || continue
        root=$(realpath "$folder")
        # Spread over the whole tree, the same ones every time.
        awk -v all="$(wc -l <"$temp/all")" -v want="$files" \
            'int(NR * want / all) != int((NR - 1) * want / all) || all <= want' \
            "$temp/all" >"$temp/keys"
        return
    done
    fail "fewer than $least files (LEAST) in: $*"
}

# Three nodes of one ring. A port that turns out to be taken means: all three again.
start_nodes() {
    local try node base peers
    for try in 1 2 3 4 5 6 7 8 9 10; do
        base=$((10000 + RANDOM % 20000))
        peers="127.0.0.1:$((base + 1)),127.0.0.1:$((base + 2)),127.0.0.1:$((base + 3))"
        for node in $nodes; do
            TMPDIR=$temp "$larder" serve --listen "127.0.0.1:$((base + node))" --peers "$peers" \
                --api 127.0.0.1:0 --cache-bytes "$cache_bytes" --group "files=dir:$root" \
                2>"$temp/node$node" &
            pids+=($!)
        done
        all_listen && return
        stop_nodes
    done
    cat "$temp"/node? >&2
    fail "the nodes do not start"
}

all_listen() {
    local node n
    for node in $nodes; do
        for ((n = 0; ; n++)); do
            grep -q 'larder: peers on ' "$temp/node$node" && break
            ((n < 200)) && kill -0 "${pids[node - 1]}" 2>/dev/null || return 1
            sleep 0.05
        done
    done
}

api() {
    sed -n 's/.*, api on //p' "$temp/node$1"
}

# What curl is to do for node $1: every key to a file of its own, named by its line.
config() {
    paste "$temp/encoded" <(seq "$(wc -l <"$temp/keys")") |
        awk -F '\t' -v api="$(api "$1")" -v out="$temp/out$1" \
            '{ printf "url = \"%s/api/files/%s\"\noutput = \"%s/%s\"\n", api, $1, out, $2 }'
}

fetch() {
    mkdir "$temp/out$1"
    config "$1" >"$temp/config$1"
    curl --silent --fail --globoff --path-as-is --noproxy '*' --max-time 60 \
        --parallel --parallel-max 16 -K "$temp/config$1" 2>"$temp/curl$1"
}

# The SHA-256 of each key's bytes, in the order of the keys.
sums_of_files() {
    (cd "$root" && tr '\n' '\0' <"$temp/keys" | xargs -0 sha256sum -z --) | sums
}

sums_of_fetched() {
    (cd "$temp/out$1" && seq "$(wc -l <"$temp/keys")" | tr '\n' '\0' |
        xargs -0 sh -c 'for f; do [ -f "$f" ] || f=/dev/null; sha256sum -z -- "$f"; done' sh) | sums
}

sums() {
    tr '\0' '\n' | cut -c 1-64
}

counter() {
    curl --silent --fail --noproxy '*' --max-time 10 "$(api "$1")/stats" |
        grep -o "\"$2\":[0-9]*" | head -n 1 | cut -d : -f 2
}

if [[ -n ${2:-} ]]; then
    choose "$2"
else
    choose "$(rustc --print sysroot 2>/dev/null || true)/share/doc/rust/html" /usr/share/doc
fi
count=$(wc -l <"$temp/keys")
bytes=$(cd "$root" && tr '\n' '\0' <"$temp/keys" | xargs -0 cat -- | wc -c)
cache_bytes=$((2 * bytes + (64 << 20))) # nothing may be evicted: that would be read again
# Every byte but the slash is escaped: the widest test of decoding.
od -An -v -tx1 -w1 "$temp/keys" |
    awk '$1 == "0a" { print ""; next } $1 == "2f" { printf "/"; next } { printf "%%%s", $1 }' \
        >"$temp/encoded"

start_nodes
started=$SECONDS
fetchers=()
for node in $nodes; do
    fetch "$node" &
    fetchers+=($!)
done
unfetched=0
for fetcher in "${fetchers[@]}"; do
    wait "$fetcher" || unfetched=1
done
took=$((SECONDS - started))

sums_of_files >"$temp/expected"
printf '%s\n%d files, %d bytes, through 3 nodes in %d s\n\n' "$root" "$count" "$bytes" "$took"
printf '%-6s %9s %11s %7s\n' node fetched mismatches loads
mismatches=0
loads=0
for node in $nodes; do
    fetched=$(find "$temp/out$node" -type f | wc -l)
    sums_of_fetched "$node" >"$temp/sums$node"
    wrong=$(paste "$temp/expected" "$temp/sums$node" | awk '$1 != $2' | wc -l)
    loaded=$(($(counter "$node" local_loads) + $(counter "$node" local_load_errs)))
    printf '%-6s %9d %11d %7d\n' "$node" "$fetched" "$wrong" "$loaded"
    ((fetched == count)) || unfetched=1
    mismatches=$((mismatches + wrong))
    loads=$((loads + loaded))
done
printf '%-6s %9s %11d %7d\n' all '' "$mismatches" "$loads"

((mismatches == 0)) || fail "$mismatches answers are not what is on the disk"
((unfetched == 0)) || fail "some files were not fetched: $(tail -n 1 "$temp"/curl?)"
((loads == count)) || fail "$count files were read $loads times"
