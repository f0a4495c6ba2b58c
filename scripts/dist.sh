#!/usr/bin/env bash
# Copies what was built into dist/, each file in one step so that a running program keeps its own.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$viewcache_root"
mkdir -p dist

put() { # from, name
    if cmp -s "$1" "dist/$2"; then
        return
    fi
    cp "$1" "dist/.$2.new"
    mv -f "dist/.$2.new" "dist/$2"
    echo "dist/$2"
}

put "$CARGO_TARGET_DIR/wasm32-unknown-unknown/wasm/viewcache_filter.wasm" viewcache.wasm
# What configurations name, and how much Envoy has to compile.
sha256sum dist/viewcache.wasm | sed "s|\$| $(wc -c <dist/viewcache.wasm) bytes|"
put "$CARGO_TARGET_DIR/release/viewcache-sidecar" viewcache-sidecar
put "$CARGO_TARGET_DIR/release/viewcachectl" viewcachectl
# The test package's programs: whatever it has.
for source in tests/src/bin/*; do
    name=$(basename "$source" .rs)
    if [ -x "$CARGO_TARGET_DIR/release/$name" ]; then
        put "$CARGO_TARGET_DIR/release/$name" "$name"
    fi
done

# A bare cargo and rust-analyzer share what make has built.
if [ ! -e target ] && [ ! -L target ]; then
    ln -s "$CARGO_TARGET_DIR" target
fi
