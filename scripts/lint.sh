#!/usr/bin/env bash
# The checks that no Rust tool makes: scripts parse, versions agree, and alerts fire when they
# should.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$viewcache_root"
failed=0

for script in scripts/*.sh scripts/wasm fuzz/instrument .ci/run demo/make-videos.sh deploy/probe deploy/make-keys; do
    bash -n "$script" || failed=1
done

agree() { # file, text that it must contain
    if ! grep -qF -- "$2" "$1"; then
        echo "$1: expected \"$2\"" >&2
        failed=1
    fi
}
rust=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
agree deploy/Dockerfile "envoyproxy/envoy:v$ENVOY_VERSION"
agree deploy/Dockerfile "rust:$rust.0-bookworm"

# The units, where systemd can look at them. The programs that they start need not be installed.
if command -v systemd-analyze >/dev/null; then
    units=$(mktemp -d)
    for unit in deploy/systemd/*.service; do
        sed 's,/usr/local/bin/[a-z-]*,/bin/true,' "$unit" >"$units/${unit##*/}"
    done
    systemd-analyze verify --man=no "$units"/*.service || failed=1
    if ! exposed=$(systemd-analyze security --offline=true --no-pager --threshold=15 \
        "$units/viewcache-sidecar.service"); then
        echo "$exposed" >&2
        failed=1
    fi
    rm -rf "$units"
else
    echo "no systemd-analyze: deploy/systemd is not checked"
fi

if command -v promtool >/dev/null; then
    promtool check config --syntax-only deploy/observability/prometheus.yml >/dev/null || failed=1
    promtool test rules deploy/observability/alerts_test.yml >/dev/null || failed=1
else
    echo "skipped: there is no promtool here to check deploy/observability" >&2
fi

exit $failed
