# Sourced by make and the scripts: where products live and what the compilers need.
# A variable that is set already is respected.

viewcache_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$viewcache_root/scripts/versions"

viewcache_cache=${XDG_CACHE_HOME:-$HOME/.cache}/viewcache

if ! command -v cargo >/dev/null && [ -x "$HOME/.cargo/bin/cargo" ]; then
    PATH=$HOME/.cargo/bin:$PATH
fi
# Debian's ccache stands in for the compilers, so that RocksDB is compiled once in a
# machine's life, not once per target directory.
if [ -x /usr/lib/ccache/c++ ] && [[ :$PATH: != *:/usr/lib/ccache:* ]]; then
    PATH=/usr/lib/ccache:$PATH
fi
export PATH

# Outlives the checkout, and is keyed by the compiler alone: RocksDB takes minutes to compile.
if [ -z "${CARGO_TARGET_DIR:-}" ]; then
    CARGO_TARGET_DIR=$viewcache_cache/target-$(rustc --version 2>/dev/null | cut -d' ' -f2)
fi
export CARGO_TARGET_DIR

if [ -z "${ENVOY:-}" ] && [ -x "$viewcache_cache/envoy-$ENVOY_VERSION/bin/envoy" ]; then
    export ENVOY=$viewcache_cache/envoy-$ENVOY_VERSION/bin/envoy
fi

# Only where setup had to take libclang from a wheel: a change of these two compiles RocksDB again.
for viewcache_libclang in "$viewcache_cache/libclang-$LIBCLANG_VERSION"/lib/python*/site-packages/clang/native; do
    if [ -z "${LIBCLANG_PATH:-}" ] && [ -e "$viewcache_libclang/libclang.so" ]; then
        export LIBCLANG_PATH=$viewcache_libclang
        # The wheel brings no headers of its own.
        export BINDGEN_EXTRA_CLANG_ARGS="${BINDGEN_EXTRA_CLANG_ARGS:--I$(gcc -print-file-name=include)}"
    fi
done
unset viewcache_libclang

# Where setup has put them, because no package is installed on this machine.
if [ -x "$viewcache_cache/prometheus/bin/promtool" ] && [[ :$PATH: != *:$viewcache_cache/prometheus/bin:* ]]; then
    export PATH=$PATH:$viewcache_cache/prometheus/bin
fi

# Is there a prebuilt standard library for the filter's target?
viewcache_has_wasm_std() {
    compgen -G "$(rustc --print target-libdir --target wasm32-unknown-unknown)/libstd-*.rlib" >/dev/null
}
