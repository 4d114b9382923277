#!/usr/bin/env bash
# check-includes.sh - each file may include its own folder and what the folder's .may_include lists:
# folders, single headers, or * for everything. Prints FILE:LINE: what was found and what is
# allowed; ends with 1 when anything was found.
set -euo pipefail
cd "${1:-$(dirname "${BASH_SOURCE[0]}")/..}"

bad=0
while IFS= read -r dir; do
    files=("$dir"/*.[ch])
    [[ -e ${files[0]} ]] || continue
    if [[ ! -f $dir/.may_include ]]; then
        echo "$dir: no .may_include: list there the folders that its files may include"
        bad=1
        continue
    fi
    awk -v dir="$dir" '
        BEGIN {
            rules = dir "/.may_include"
            while ((getline line < rules) > 0) {
                sub(/#.*/, "", line)
                gsub(/[ \t]/, "", line)
                if (line == "")
                    continue
                allowed[line] = 1
                list = list (list == "" ? "" : ", ") line
            }
            if (list == "")
                list = "nothing but " dir
        }
        /^[ \t]*#[ \t]*include[ \t]*"/ {
            split($0, part, "\"")
            target = part[2]
            if (target !~ /\//) {
                printf "%s:%d: \"%s\": write the path from the top: \"%s/%s\"\n",
                    FILENAME, FNR, target, dir, target
                bad = 1
                next
            }
            folder = target
            sub(/\/[^\/]*$/, "", folder)
            if (folder != dir && !("*" in allowed) && !(folder in allowed) && !(target in allowed)) {
                printf "%s:%d: includes \"%s\", allowed: %s\n", FILENAME, FNR, target, list
                bad = 1
            }
        }
        END { exit bad }' "${files[@]}" || bad=1
done < <(find lb health balancing -type d | sort)
exit $bad
