#!/usr/bin/env bash
# Looks at the packages that this workspace is made of, by deny.toml: their licences, where they
# come from, and which are there twice; and, where RustSec's database can be reached, which are
# known to be vulnerable, abandoned or yanked.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$viewcache_root"

deny=$viewcache_cache/cargo-deny-$CARGO_DENY_VERSION/bin/cargo-deny
[ -x "$deny" ] || deny=$(command -v cargo-deny) || {
    echo "skipped: there is no cargo-deny here (cargo install cargo-deny)" >&2
    exit 0
}
"$deny" --locked check licenses bans sources

log=$(mktemp)
trap 'rm -f "$log"' EXIT
if timeout 300 "$deny" --locked check advisories >"$log" 2>&1; then
    cat "$log"
elif grep -q "failed to fetch advisory database" "$log"; then
    echo "skipped: advisories and yanked versions, for RustSec's database cannot be reached" >&2
else
    cat "$log" >&2
    exit 1
fi
