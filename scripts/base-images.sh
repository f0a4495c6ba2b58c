#!/usr/bin/env bash
# Sees to it that the engine has the base images of deploy/Dockerfile, and Prometheus. Those that it
# cannot pull are made here under the same names, from Debian's packages and from what this machine
# builds with:
#
#   debian      debootstrap's smallest Bookworm
#   rust        that with g++, libclang and this machine's Rust; for a quick build it carries what
#               cargo has compiled here of the dependencies, so that RocksDB is not compiled again
#   envoy       that with the Envoy that setup has installed, which is the same release
#   prometheus  that with Debian's, which is older
#
# Prints the names of those that were made. Exits with 2 when none can be made here.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive DOCKER_BUILDKIT=1
. "$(dirname "$0")/env.sh"
cd "$viewcache_root"

base() { sed -n "s,^FROM \($1[^ ]*\).*,\1,p" deploy/Dockerfile | head -n1; }
debian=$(base debian:)
rust=$(base rust:)
envoy=$(base envoyproxy/envoy:)
prometheus=$(sed -n 's,^ *image: \(prom/prometheus:.*\),\1,p' docker-compose.yml)
suite=bookworm

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
say() { printf '%-13s %s\n' "$1" "$2" >&2; }

failed() { # log
    tail -n5 "$1" >&2
    exit 1
}

has() { docker image inspect "$1" >/dev/null 2>&1; }
pull() { timeout "$1" docker pull "$2" >"$work/pull.log" 2>&1; }

# --- root file systems, kept from one run to the next --------------------------------------

kept=$viewcache_cache/images
minimal=$kept/$suite.tar.gz
building=$kept/$suite-build.tar.gz

keep() { # folder, archive
    rm -rf "$1"/var/cache/apt/archives/*.deb "$1"/var/lib/apt/lists/* "$1"/usr/share/{doc,man,locale}/*
    tar -C "$1" --numeric-owner -czf "$2.new" . && mv -f "$2.new" "$2"
}

mirror() {
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
        grep -v '^ *#' | grep -oE 'https?://[^ ]+/debian/?$' | head -n1
}

root_file_systems() {
    [ ! -e "$minimal" ] || [ ! -e "$building" ] || return 0
    local root=$work/root log=$viewcache_cache/debootstrap.log
    mkdir -p "$kept"
    say debian "making $suite with debootstrap, once"
    debootstrap --variant=minbase "$suite" "$root" "$(mirror || true)" >"$log" 2>&1 || failed "$log"
    keep "$root" "$minimal"
    say rust "adding g++ and libclang to it, once"
    {
        chroot "$root" apt-get update &&
        chroot "$root" apt-get install -y --no-install-recommends g++ libc6-dev libclang-dev ca-certificates
    } >>"$log" 2>&1 </dev/null || failed "$log"
    # All that the Dockerfile installs is there, so apt need not look anywhere.
    : >"$root/etc/apt/sources.list"
    keep "$root" "$building"
    rm -rf "$root"
}

# --- stand-ins -----------------------------------------------------------------------------

# As hard links where the file system allows it: a build only reads them.
link_or_copy() { # what, where
    mkdir -p "$2"
    cp -al "$1" "$2/" 2>/dev/null || cp -a "$1" "$2/"
}

make_debian() {
    docker import --change 'CMD ["bash"]' "$minimal" "$debian" >/dev/null
}

# What `rustup target add` would fetch: prebuilt where this machine has it, else built from the
# compiler's source, with the bitcode that linking the filter takes.
wasm_std() { # the toolchain's lib/rustlib
    local crate=$work/std target=wasm32-unknown-unknown
    if viewcache_has_wasm_std; then
        link_or_copy "$(rustc --print sysroot)/lib/rustlib/$target" "$1"
        return
    fi
    say rust "building the standard library of $target"
    mkdir -p "$crate/src" "$1/$target/lib"
    touch "$crate/src/lib.rs"
    printf '[package]\nname = "std-only"\nedition = "2024"\n' >"$crate/Cargo.toml"
    (cd "$crate" && RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Cembed-bitcode=yes CARGO_TARGET_DIR=$crate/target \
        cargo build --quiet --release --target "$target" -Zbuild-std=std,panic_abort >&2)
    cp "$crate/target/$target"/release/deps/*.rlib "$1/$target/lib/"
    rm -f "$1/$target"/lib/libstd_only-*
}

make_rust() {
    local context=$work/rust sysroot part name
    sysroot=$(rustc --print sysroot)
    mkdir -p "$context/toolchain/bin" "$context/warm/target"
    cp "$sysroot"/bin/{cargo,rustc} "$context/toolchain/bin/"
    link_or_copy "$sysroot/lib" "$context/toolchain"
    rm -rf "$context"/toolchain/lib/rustlib/{src,wasm32-unknown-unknown}
    wasm_std "$context/toolchain/lib/rustlib"

    # Dependencies only: cargo tells this workspace's packages by where they are, which is another
    # place in the image.
    for part in release wasm wasm32-unknown-unknown; do
        if [ -d "$CARGO_TARGET_DIR/$part" ]; then
            link_or_copy "$CARGO_TARGET_DIR/$part" "$context/warm/target"
        fi
    done
    cargo clean --quiet --workspace --release --target-dir "$context/warm/target"
    cargo clean --quiet --workspace --profile wasm --target wasm32-unknown-unknown \
        --target-dir "$context/warm/target"
    rm -rf "$context"/warm/target/*/incremental
    # Under the same path as here: cargo compares where a dependency's sources are.
    local cargo_home=${CARGO_HOME:-$HOME/.cargo}
    for part in registry/index registry/cache config config.toml; do
        [ ! -e "$cargo_home/$part" ] ||
            link_or_copy "$cargo_home/$part" "$context/warm/cargo/$(dirname "$part")"
    done

    printf '%s\n' '#!/bin/bash' '# All that could be added is there.' \
        'target=${@: -1}; ls "$(rustc --print sysroot)/lib/rustlib/$target/lib/"libstd-*.rlib' \
        >"$context/rustup"
    chmod +x "$context/rustup"
    {
        cat <<END
FROM viewcache-stand-in-build
COPY rustup /usr/local/cargo/bin/
COPY toolchain /usr/local/rustup/toolchain
COPY warm/target /warm/target
COPY warm/cargo $cargo_home
ENV PATH=/usr/local/cargo/bin:/usr/local/rustup/toolchain/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \\
    CARGO_HOME=$cargo_home CARGO_TARGET_DIR=/warm/target CARGO_NET_OFFLINE=true
END
        # What RocksDB's build script was told here, or it would run again.
        for name in LIBCLANG_PATH BINDGEN_EXTRA_CLANG_ARGS; do
            [ -z "${!name:-}" ] || echo "ENV $name=\"${!name}\""
        done
    } >"$context/Dockerfile"
    docker import "$building" viewcache-stand-in-build >/dev/null
    docker build --quiet --tag "$rust" "$context" >/dev/null
    docker image rm viewcache-stand-in-build >/dev/null
    rm -rf "$context"
}

make_envoy() {
    local context=$work/envoy binary
    binary=$(compgen -G "$viewcache_cache/envoy-$ENVOY_VERSION/lib/python*/site-packages/envoy/_bin/envoy" ||
        command -v "${ENVOY:-envoy}")
    mkdir -p "$context"
    link_or_copy "$(readlink -f "$binary")" "$context"
    cp /etc/ssl/certs/ca-certificates.crt "$context/"
    cat >"$context/Dockerfile" <<END
FROM $debian
COPY envoy /usr/local/bin/
COPY ca-certificates.crt /etc/ssl/certs/
END
    docker build --quiet --tag "$envoy" "$context" >/dev/null
    rm -rf "$context"
}

make_prometheus() {
    local context=$work/prometheus package=$kept/prometheus.deb
    mkdir -p "$context"
    if [ ! -e "$package" ]; then
        (cd "$context" && apt-get -o APT::Sandbox::User=root download prometheus >"$work/apt.log" 2>&1)
        mv "$context"/prometheus_*.deb "$package"
    fi
    dpkg-deb --fsys-tarfile "$package" | tar -x -C "$context" ./usr/bin
    cat >"$context/Dockerfile" <<END
FROM $debian
COPY usr/bin/prometheus usr/bin/promtool /bin/
RUN install -d -o nobody -g nogroup /prometheus /etc/prometheus
USER nobody
WORKDIR /prometheus
ENTRYPOINT ["/bin/prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
END
    docker build --quiet --tag "$prometheus" "$context" >/dev/null
    rm -rf "$context"
}

# -------------------------------------------------------------------------------------------

missing=()
for image in "$debian" "$rust" "$envoy" "$prometheus"; do
    has "$image" || missing+=("$image")
done
# The smallest is tried first; where it does not come, no other will.
if [ ${#missing[@]} != 0 ] && pull 120 "${missing[0]}"; then
    for image in "${missing[@]:1}"; do
        pull 1800 "$image" || { cat "$work/pull.log" >&2; exit 1; }
    done
    exit
fi
[ ${#missing[@]} != 0 ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v debootstrap >/dev/null; then
    say images "no registry can be reached, and stand-ins take root and debootstrap"
    exit 2
fi
say images "no registry can be reached; making stand-ins for ${missing[*]}"
root_file_systems
for image in "${missing[@]}"; do
    case $image in
        "$debian") make_debian ;;
        "$rust") make_rust ;;
        "$envoy") make_envoy ;;
        "$prometheus") make_prometheus ;;
    esac
    say images "$image, a stand-in"
    echo "$image"
done
