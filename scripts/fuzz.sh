#!/usr/bin/env bash
# fuzz.sh [NAME...] - runs each fuzz target (or those named) for FUZZ_TIME seconds, as many at a
# time as there are processors. Starts from tests/fuzz/corpus/NAME, keeps what it finds in
# build-fuzz/corpus/NAME; a finding is left in build-fuzz/crashes/ and said with the command that
# repeats it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=${OUT:-build-fuzz}
seconds=${FUZZ_TIME:-30}

one() {
    local name=$1 log=$out/fuzz-$1.log seeds=()
    mkdir -p "$out/corpus/$name" "$out/crashes"
    [[ -d tests/fuzz/corpus/$name ]] && seeds=("tests/fuzz/corpus/$name")
    if "$out/tests/fuzz/fuzz_$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
        -artifact_prefix="$out/crashes/$name-" -print_final_stats=1 \
        "$out/corpus/$name" "${seeds[@]}" >"$log" 2>&1; then
        printf 'ok    %-16s %s runs\n' "$name" \
            "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
    else
        printf 'FAIL  %s\n' "$name"
        tail -n 40 "$log"
        echo "again: $out/tests/fuzz/fuzz_$name $(ls -t "$out/crashes/$name-"* 2>/dev/null | head -n 1)"
        return 1
    fi
}
export -f one
export out seconds

if (($# == 0)); then
    mapfile -t names < <(find "$out/tests/fuzz" -name 'fuzz_*' -type f -perm -u+x 2>/dev/null |
        sed 's|.*/fuzz_||' | sort)
    set -- "${names[@]}"
fi
(($# > 0)) || { echo "fuzz.sh: no targets in tests/fuzz" >&2; exit 1; }
printf '%s\n' "$@" | xargs -P "$(nproc)" -I{} bash -c 'one {}'
