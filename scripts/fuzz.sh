#!/usr/bin/env bash
# Builds the fuzz targets and lets each run for so many seconds, then says what came of it.
#
#   scripts/fuzz.sh 60                  every target for a minute
#   scripts/fuzz.sh 600 range identify  these for ten
#   scripts/fuzz.sh keep                what was found since becomes part of fuzz/corpus: those
#                                       few inputs of each target that reach most
#   scripts/fuzz.sh try range FILE      one input again
#
# What is found is kept below the target folder and tried first the next time. The compiler is the
# usual one: fuzz/instrument has it count branches in the packages of this workspace.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$viewcache_root"

ALL=$(sed -n 's|^path = "fuzz_targets/\(.*\)\.rs"|\1|p' fuzz/Cargo.toml)
work=$CARGO_TARGET_DIR/fuzz
mkdir -p "$work/crashes"
# Longer inputs are slower and say no more; a program of the filter's messages is a few dozen bytes.
declare -A longest=([range]=512 [content_range]=128 [identify]=1024 [ingest]=256 [values]=2048 [config]=2048 [bodies]=1024)
# So many inputs are kept: more where there are more kinds of them.
declare -A most=([range]=20 [content_range]=20 [identify]=40 [ingest]=40 [values]=65 [config]=60 [bodies]=50)

verb=run
case ${1:-60} in
keep | try) verb=$1 ;;
*) seconds=${1:-60} ;;
esac
shift || true
if [ $verb = try ]; then
    target=$1 input=$2
    set -- "$target"
fi
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets <<<"$ALL"

bins=()
for target in "${targets[@]}"; do
    bins+=(--bin "$target")
done
# In a folder of its own, for the library of the filter is one file whatever it is compiled with.
# What is not of this workspace is taken over as it was compiled, or RocksDB would be once more.
built=$work/target
compgen -G "$CARGO_TARGET_DIR/release/deps/liblibrocksdb_sys-*.rlib" >/dev/null ||
    cargo build --release --locked --workspace --bins
mkdir -p "$built/release"
(
    cd "$CARGO_TARGET_DIR/release"
    ours=(! -name '*viewcache*' ! -name '*e2e*' ! -name '*bench*' ! -name '*simulate*')
    find .fingerprint build -mindepth 1 -maxdepth 1 "${ours[@]}" -print0
    find deps -maxdepth 1 \( -name 'lib*' -o -name '*.d' \) "${ours[@]}" -print0
) | (cd "$CARGO_TARGET_DIR/release" && xargs -0 cp --archive --update --parents --target-directory="$built/release")
CARGO_TARGET_DIR=$built RUSTC_WORKSPACE_WRAPPER=$viewcache_root/fuzz/instrument \
    cargo build --release --locked --workspace --features viewcache-fuzz/libfuzzer "${bins[@]}"

# Stores of the target `ingest` are better off in memory.
if [ -z "${TMPDIR:-}" ] && [ "$(df --output=avail /dev/shm 2>/dev/null | tail -n1)" -gt 1000000 ] 2>/dev/null; then
    export TMPDIR=/dev/shm
fi

fuzz() { # target, arguments
    local target=$1
    shift
    local dictionary=()
    [ ! -e "fuzz/dictionaries/$target" ] || dictionary=(-dict="fuzz/dictionaries/$target")
    "$built/release/$target" -max_len="${longest[$target]:-1024}" -timeout=20 -rss_limit_mb=2048 \
        -artifact_prefix="$work/crashes/$target-" "${dictionary[@]}" "$@"
}

if [ $verb = try ]; then
    fuzz "$target" "$input"
    exit
fi

if [ $verb = keep ]; then
    for target in "${targets[@]}"; do
        new=$work/new/$target control=$work/control
        rm -rf "$new" "$control" && mkdir -p "$new" "$work/merged" "$work/corpus/$target"
        # By branches alone: how often each is taken would keep ten times as many.
        fuzz "$target" -merge=1 -use_counters=0 -merge_control_file="$control" \
            "$work/merged" "fuzz/corpus/$target" "$work/corpus/$target" 2>"$work/$target.log"
        fuzz/select "$control" "${most[$target]:-40}" | while read -r input; do
            cp "$input" "$new/$(sha1sum <"$input" | cut -c1-16)"
        done
        rm -rf "fuzz/corpus/$target" "$work/merged" && mv "$new" "fuzz/corpus/$target"
        echo "$target: $(find "fuzz/corpus/$target" -type f | wc -l) inputs"
    done
    exit
fi

printf -v row '%%-14s %%12s %%10s %%8s %%8s %%8s\n'
table=$(printf "$row" target executions "a second" edges inputs crashes)
failed=0
for target in "${targets[@]}"; do
    mkdir -p "$work/corpus/$target" "fuzz/corpus/$target"
    log=$work/$target.log
    echo "$target, for $seconds s"
    crashes=0
    fuzz "$target" -max_total_time="$seconds" -print_final_stats=1 \
        "$work/corpus/$target" "fuzz/corpus/$target" 2>"$log" || crashes=1
    if [ $crashes != 0 ]; then
        failed=1
        grep -A3 -E 'panicked at|ERROR: libFuzzer' "$log" >&2 || tail -n 20 "$log" >&2
        grep -E 'Test unit written' "$log" >&2 || true
    fi
    stat() { sed -n "s/^stat::$1: *//p" "$log"; }
    last=$(grep -E '^#[0-9]+.* cov: ' "$log" | tail -n1)
    field() { sed -n "s|.* $1: \([0-9]*\).*|\1|p" <<<"$last"; }
    table+=$'\n'$(printf "$row" "$target" "$(stat number_of_executed_units)" "$(stat average_exec_per_sec)" \
        "$(field cov)" "$(field corp)" $crashes)
done
echo
echo "$table"
exit $failed
