#!/usr/bin/env bash
# Sends the management port what its description (OpenAPI) allows and what it forbids, and checks
# every answer against it: no 5xx, no status, header or member that is not described, nothing
# refused that is allowed, nothing taken that is not.
#
#   scripts/fuzz-api.sh                 50 requests for each operation and phase, seed 1
#   SEED=7 EXAMPLES=500 scripts/fuzz-api.sh
#
# The stack of the demo runs behind it, with a token, two videos of which something is stored, and
# a folder to import from. Events are left out: their answer does not end (the sidecar's own tests
# listen to them). So are two checks that no description can satisfy: that whatever fits it is
# taken (a cursor of another list and a condition that does not hold fit it, too), and that what
# was deleted is gone (a channel without settings is still that of its videos).
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$viewcache_root"

schemathesis=$viewcache_cache/schemathesis-$SCHEMATHESIS_VERSION/bin/schemathesis
if [ ! -x "$schemathesis" ]; then
    echo "schemathesis is not there: run scripts/setup.sh fuzz" >&2
    exit 1
fi

folder=$(mktemp -d)
mkdir "$folder/films"
head -c 100000 /dev/urandom >"$folder/films/third.mp4"
export VIEWCACHE_ADMIN_TOKEN=fuzz-$RANDOM-$RANDOM-$RANDOM VIEWCACHE_IMPORT_ROOTS=$folder/films
dist/demo up --listen 127.0.0.1:0 --manage 127.0.0.1:0 --data "$folder/data" >"$folder/out" 2>"$folder/log" &
demo=$!
trap 'kill -INT $demo 2>/dev/null; wait $demo || true; rm -rf "$folder"' EXIT

for _ in $(seq 300); do
    grep -q metrics: "$folder/out" && break
    kill -0 $demo || { cat "$folder/log" >&2; exit 1; }
    sleep 0.1
done
watch=$(sed -n 's|^ *watch: *\(http://[^/]*\)/.*|\1|p' "$folder/out")
manage=$(sed -n 's|^ *cached: *\(http://[^/]*\)/.*|\1|p' "$folder/out")

admin=(--header "Authorization: Bearer $VIEWCACHE_ADMIN_TOKEN")
ask() { curl --silent --show-error --fail-with-body --output /dev/null "$@"; }
ask "$watch/videos/first.mp4"
ask --range 0-999999 "$watch/videos/second.mp4"
ask "${admin[@]}" --request PUT --json '{"title": "A channel", "mode": "auto"}' "$manage/v1/channels/UCabc"
ask "${admin[@]}" --request PUT --json '{"title": "A video", "channel": "UCabc"}' "$manage/v1/videos/dQw4w9WgXcQ"

# A condition is looked at before the body: 412 refuses what does not fit, too.
cat >"$folder/schemathesis.toml" <<'END'
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 411, 412, 413, 415]
END

# Python would write its caches and what it has found beside it.
cd "$folder"
"$schemathesis" --config-file "$folder/schemathesis.toml" run "$manage/v1/openapi.json" \
    "${admin[@]}" \
    --checks all --exclude-checks positive_data_acceptance,use_after_free \
    --exclude-path /v1/events \
    --seed "${SEED:-1}" --max-examples "${EXAMPLES:-50}" --continue-on-failure \
    --request-timeout 20 --generation-database none --no-color "$@"
