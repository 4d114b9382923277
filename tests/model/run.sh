#!/usr/bin/env bash
# run.sh [MODEL...] - runs the models: each as it is, which must hold, and each of its variants that
# must fail (the switches after "Must fail" in the file), so that a model that proves nothing is
# noticed. One line per run; ends with 1 when one did not come out as it should.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

for tool in spin gcc; do
    command -v "$tool" >/dev/null || {
        echo "model: $tool is missing (scripts/setup.sh test)"
        exit 1
    }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
here=$PWD
bad=0

# Partial-order reduction stays on; the depth bound is checked, the search must be complete.
verify() { # model, switches...: 0 holds, 1 violated, 2 broken
    local model=$1 dir
    shift
    dir=$(mktemp -d "$work/XXXXXX")
    (
        cd "$dir"
        spin "$@" -a "$here/$model.pml" >spin.log 2>&1 || exit 2
        gcc -O1 -w -DSAFETY -DNOFAIR -DVECTORSZ=512 -DMEMLIM=1024 -o pan pan.c 2>gcc.log || exit 2
        timeout 120 ./pan -m1000000 -w22 >pan.log 2>&1 || exit 2
        grep -q 'errors: [1-9]' pan.log && exit 1
        grep -q 'max search depth too small\|Search not completed\|out of memory' pan.log && exit 2
        grep -q 'errors: 0' pan.log && exit 0
        exit 2
    ) && rc=0 || rc=$?
    states=$(sed -n 's/ *\([0-9.e+]*\) states, stored.*/\1/p' "$dir/pan.log" 2>/dev/null || true)
    error=$(sed -n 's/^pan:1: \(.*\) (at depth.*/\1/p' "$dir/pan.log" 2>/dev/null || true)
    log=$dir
}

run() { # expected, model, switches...
    local expected=$1 model=$2
    shift 2
    local name="$model${*:+ $*}"
    verify "$model" "$@"
    if [[ $rc == 2 ]]; then
        echo "model $name: could not be run"
        cat "$log"/*.log
        bad=1
    elif [[ $expected == holds && $rc == 0 ]]; then
        echo "model $name: holds ($states states)"
    elif [[ $expected == fails && $rc == 1 ]]; then
        echo "model $name: fails, as it should: $error"
    elif [[ $expected == holds ]]; then
        echo "model $name: VIOLATED: $error"
        (cd "$log" && spin "$@" -t -p -g -k "$model.pml.trail" "$here/$model.pml" 2>&1 | tail -n 60) || true
        bad=1
    else
        echo "model $name: holds, but it must fail: the model proves nothing"
        bad=1
    fi
}

models=("$@")
((${#models[@]} > 0)) || models=(epoch slot queue)
for model in "${models[@]}"; do
    run holds "$model"
    for switch in $(sed -n '/Must fail:/,/\*\//p' "$model.pml" | grep -o -- '-D[A-Z_]*'); do
        run fails "$model" "$switch"
    done
done
exit $bad
