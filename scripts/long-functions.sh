#!/usr/bin/env bash
# long-functions.sh [COUNT] - the longest functions, longest first: lines, place, name.
# A list to read, not to obey: a long flat table or switch is fine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
find lb health balancing -name '*.c' -print0 | xargs -0 awk '
    /^[a-zA-Z_].*\(/ { name = $0; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name); head = FNR }
    /^\{/ { start = head }
    /^\}/ && start { printf "%5d  %s:%d  %s\n", FNR - start + 1, FILENAME, start, name; start = 0 }
' | sort -rn | sed -n "1,${1:-30}p"
