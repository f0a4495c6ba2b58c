#!/usr/bin/env bash
# Builds the filter in another folder, with another target directory, and compares.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$viewcache_root"

other=$(mktemp -d)
trap 'rm -rf "$other"' EXIT
mkdir "$other/checkout"
tar -c --exclude=./.git --exclude=./dist --exclude=./target . | tar -x -C "$other/checkout"
CARGO_TARGET_DIR=$other/products "$other/checkout/scripts/wasm" build --lib --quiet

again=$other/products/wasm32-unknown-unknown/wasm/viewcache_filter.wasm
if ! cmp "$again" dist/viewcache.wasm; then
    sha256sum "$again" dist/viewcache.wasm >&2
    exit 1
fi
echo "the filter is the same wherever it is built: $(sha256sum <dist/viewcache.wasm | cut -d' ' -f1)"
