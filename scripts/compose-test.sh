#!/usr/bin/env bash
# Builds the images of docker-compose.yml and runs the stack for real, in containers.
#
#   scripts/compose-test.sh            fails when this machine cannot run an engine
#   scripts/compose-test.sh --if-able  says so instead
#
# An engine that runs is used; else Debian's is started for the time of the test. Everything that
# is made in it is removed at the end.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$viewcache_root"
. scripts/engine.sh

work=$(mktemp -d "${TMPDIR:-/tmp}/viewcache-compose.XXXXXX")
export VIEWCACHE_TAG=test-$$ DOCKER_BUILDKIT=1 COMPOSE_DOCKER_CLI_BUILD=1 BUILDKIT_PROGRESS=plain
stand_ins=()

clean_up() {
    if [ -n "$engine_pid" ]; then
        engine_stop
    elif engine_answers; then
        # Untagged only: what they share with images of others stays theirs.
        docker image rm -f viewcache-{envoy,sidecar,demo-origin}:"$VIEWCACHE_TAG" "${stand_ins[@]}" \
            >/dev/null 2>&1 || true
    fi
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

say() { printf '%-13s %s\n' "$1" "$2"; }

if_able=no
[ "${1:-}" != --if-able ] || if_able=yes
unable() { # why
    say compose-test "not run: $1"
    [ $if_able = yes ] && exit 0
    exit 1
}

# --- the engine ----------------------------------------------------------------------------

mkdir "$work/tools"
engine_client "$work/tools" || unable "no docker client that can build with BuildKit"
if engine_answers; then
    say engine "already running: $(docker version -f '{{.Server.Version}}')"
elif engine_start "$work"; then
    say engine "started for this test: $(docker version -f '{{.Server.Version}}')"
else
    [ ! -e "$engine_folder/log" ] || tail -n3 "$engine_folder/log" >&2
    unable "no Docker engine runs, and none can be started here"
fi
if command -v docker-compose >/dev/null; then
    VIEWCACHE_COMPOSE=docker-compose
elif docker compose version >/dev/null 2>&1; then
    VIEWCACHE_COMPOSE="docker compose"
else
    unable "neither docker-compose nor docker compose is there"
fi
export VIEWCACHE_COMPOSE
say compose "$($VIEWCACHE_COMPOSE version | head -n1)"

# --- the files -----------------------------------------------------------------------------

for files in "-f docker-compose.yml" "-f docker-compose.yml -f docker-compose.nodes.yml"; do
    # shellcheck disable=SC2086
    $VIEWCACHE_COMPOSE $files --profile observability config >/dev/null
done

# --- the images ----------------------------------------------------------------------------

status=0
made=$(scripts/base-images.sh) || status=$?
if [ $status = 2 ]; then
    unable "base images can neither be pulled nor made here"
elif [ $status != 0 ]; then
    exit 1
fi
mapfile -t stand_ins <<<"$made"
say images "building; what it prints is in $work/build.log"
if ! $VIEWCACHE_COMPOSE -p "viewcache-build-$$" build >"$work/build.log" 2>&1; then
    tail -n60 "$work/build.log" >&2
    exit 1
fi
# Its own line in cargo's output; the stand-in has it compiled.
if [[ " ${stand_ins[*]} " == *" rust:"* ]] && grep 'Compiling librocksdb-sys' "$work/build.log"; then
    echo "compose-test: the image build has compiled RocksDB again" >&2
    exit 1
fi
say images "built"

# --- the stack -----------------------------------------------------------------------------

cargo test --release --locked --workspace --test compose -- --test-threads=1 --nocapture
