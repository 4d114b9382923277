#!/usr/bin/env bash
# What a machine of scripts/kernels.sh does: unit tests, then end-to-end tests; counts for the outside.
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
export TMPDIR=/run/tmp
share=/run/share
. "$share/settings"
ip link set lo up
mkdir -m 1777 "$TMPDIR"
ulimit -n 20000
# Not what an emulated processor is too slow for.
: "${K:=^(?!040_|070_|090_|180_|470_)}"
passed=0 failed=0

{
    build/sluice -V | sed -n '/^kernel/,$p'
    for t in build/tests/unit/lb/{io,net,base}/test_* build/tests/unit/health/test_*; do
        [[ -x $t && $t != *.* ]] || continue
        if timeout 600 "$t" >"$TMPDIR/unit.log" 2>&1; then
            passed=$((passed + 1))
        else
            failed=$((failed + 1))
            cat "$TMPDIR/unit.log"
            echo "FAIL $t"
        fi
    done
    engines=()
    build/sluice -V | grep -q '^io_uring: *available' || engines=(--engine epoll)
    python3 tests/e2e/run.py "${engines[@]}" --sluice build/sluice -j "$J" --timeout 400 -k "$K" 2>&1 | tee "$TMPDIR/e2e.log"
    read -r p f < <(sed -n 's/.*\<\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$TMPDIR/e2e.log" | tail -1)
    echo "$((passed + p)) $((failed + f))" >"$share/counts"
} >"$share/log" 2>&1
sync
echo o >/proc/sysrq-trigger
sleep 10
