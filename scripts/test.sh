#!/usr/bin/env bash
# test.sh [--tsan | --stacks] [STAGE...] - builds and runs the tests, stage by stage; what `make
# test` does after set-up. Stages: unit model includes format lint e2e (all when none is named;
# --tsan: unit and e2e; --stacks: stacks, what needs heavy installs). E2E_ARGS goes to
# tests/e2e/run.py.
#
# Every failure prints its log at once. At the end: cmocka's summary of each program, then one line
# `N passed, N failed` for everything; exit status 1 when something failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

build=san
all_stages=(unit model includes format lint e2e)
if [[ ${1:-} == --tsan ]]; then
    shift
    build=tsan
    all_stages=(unit e2e)
elif [[ ${1:-} == --stacks ]]; then
    shift
    all_stages=(stacks)
fi
stages=("$@")
((${#stages[@]} > 0)) || stages=("${all_stages[@]}")
for stage in "${stages[@]}"; do
    [[ " ${all_stages[*]} " == *" $stage "* ]] || {
        echo "test.sh: unknown stage '$stage', expected some of: ${all_stages[*]}" >&2
        exit 2
    }
done

out=${OUT:-build-$build}
logs=$out/test-logs
rm -rf "$logs"
mkdir -p "$logs"
passed=0
failed=0

export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:detect_stack_use_after_return=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=0:exitcode=66:second_deadlock_stack=1}
# gcc's thread sanitizer cannot live with as much address randomisation as newer kernels have.
run=()
if [[ $build == tsan ]] && setarch "$(uname -m)" -R true 2>/dev/null; then
    run=(setarch "$(uname -m)" -R)
fi
export run_prefix="${run[*]}"

# One check that has no count of its own: passed or failed by its exit status.
check() {
    local name=$1 log=$logs/$1.log
    shift
    echo "== $name"
    if "$@" >"$log" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        cat "$log"
        echo "FAIL $name"
    fi
}

# Adds the numbers of a log's last "N passed, N failed"; without such a line it is one failure.
count() {
    local log=$1 line
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$log" | tail -n 1) || true
    if [[ $line =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed ]]; then
        passed=$((passed + BASH_REMATCH[1]))
        failed=$((failed + BASH_REMATCH[2]))
    else
        failed=$((failed + 1))
        echo "FAIL: $log ends without a count"
    fi
}

unit_one() { # runs in xargs' shells
    local bin=$1 name=${1#*/tests/} rc=0
    local log=$logs/${name//\//_}.log
    timeout -k 5 300 $run_prefix "$bin" >"$log" 2>&1 || rc=$?
    echo "$rc" >"$log.rc"
    if ((rc != 0)); then
        cat "$log"
        echo "FAIL $name (exit status $rc$([[ $rc == 124 ]] && echo ', timed out'))"
    fi
}
export -f unit_one
export logs

summaries=$logs/summaries
: >"$summaries"
unit() {
    local bin log rc ok bad
    echo "== unit and simulated tests"
    mapfile -t bins < <(
        find tests/unit tests/sim -name 'test_*.c' | sort | sed "s|^|$out/|; s|\.c$||"
        find tests/fuzz -name 'fuzz_*.c' | sort | sed "s|^tests/fuzz/fuzz_|$out/tests/seeds/|; s|\.c$||"
    )
    printf '%s\n' "${bins[@]}" | xargs -P "$(nproc)" -I{} bash -c 'unit_one {}'
    for bin in "${bins[@]}"; do
        log=${bin#*/tests/}
        log=$logs/${log//\//_}.log
        rc=$(cat "$log.rc")
        ok=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) test.*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
        bad=$(sed -n 's/^\[  FAILED  \] \([^0-9:]*: \)\?\([0-9][0-9]*\) test.*/\2/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
        # A program that dies, or leaks after its tests, is a failure that cmocka did not count.
        if ((rc != 0 && bad == 0)); then bad=1; fi
        passed=$((passed + ok))
        failed=$((failed + bad))
        {
            echo "${bin#"$out"/tests/}$( ((rc == 0)) || echo ": exit status $rc")"
            grep -E '^\[(==========|  PASSED  |  FAILED  )\] .*(run|test\(s\))' "$log" |
                grep -v 'Running' | sed 's/^/    /' || true
        } >>"$summaries"
    done
}

model() {
    if [[ -x tests/model/run.sh ]]; then
        check model tests/model/run.sh
    fi
}

e2e() {
    echo "== end-to-end tests"
    # nobody's test may hang on a terminal; the log is kept for the count
    tests/e2e/run.py --sluice "$out/sluice" ${E2E_ARGS:-} </dev/null 2>&1 |
        tee "$logs/e2e.log" || true
    count "$logs/e2e.log"
}

stacks() {
    echo "== application servers, browsers, packages"
    tests/e2e/run.py --sluice "$out/sluice" --stacks --timeout 300 ${E2E_ARGS:-} </dev/null 2>&1 |
        tee "$logs/stacks.log" || true
    count "$logs/stacks.log"
}

has() { [[ " ${stages[*]} " == *" $1 "* ]]; }
makes=()
if has unit; then makes+=(unit); fi
if has e2e || has stacks; then makes+=(all); fi
if ((${#makes[@]} > 0)); then
    echo "== build ($out)"
    if ! make --no-print-directory BUILD=$build OUT="$out" "${makes[@]}" >"$logs/build.log" 2>&1; then
        cat "$logs/build.log"
        echo "0 passed, 1 failed"
        exit 1
    fi
fi

# Cheap checks first, so that their failures are seen soon.
if has includes; then check includes scripts/check-includes.sh; fi
if has format; then check format make --no-print-directory format-check; fi
if has unit; then unit; fi
if has model; then model; fi
if has lint; then check lint make -k --no-print-directory BUILD=$build OUT="$out" lint; fi
if has e2e; then e2e; fi
if has stacks; then stacks; fi

echo
cat "$summaries"
echo "$passed passed, $failed failed"
((failed == 0))
