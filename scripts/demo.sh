#!/bin/bash
# demo.sh - three small backends behind sluice; one of them dies, and nobody notices.
#
# `make demo` builds and runs it. Needs nothing but bash and build/sluice. With a terminal it stays up
# until Ctrl-C, without one (or with CI set) it ends by itself. Everything it started ends with it.
set -u
cd "$(dirname "$0")/.." || exit 1

sluice=${SLUICE:-build/sluice}
conf=etc/demo.conf
socket=/tmp/sluice-demo.sock
front=8080
declare -A port=([a]=3001 [b]=3002 [c]=3003) pid=()
dir=$(mktemp -d) || exit 1

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
    bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' plain=$'\e[0m'
else
    bold='' dim='' red='' green='' plain=''
fi

title() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
say() { printf '  %s\n' "$*"; }
die() {
    printf '\n%sdemo: %s%s\n' "$red" "$*" "$plain" >&2
    exit 1
}

# Only what we started ends, by its number; sluice first, so that it sees no backend die.
clean_up() {
    trap - EXIT INT TERM HUP
    local who
    for who in sluice a b c; do
        [[ -n ${pid[$who]:-} ]] || continue
        kill "${pid[$who]}" 2>/dev/null
        wait "${pid[$who]}" 2>/dev/null
    done
    rm -rf "$dir"
}
trap clean_up EXIT
trap 'echo; say "Ended."; exit 0' INT
trap 'exit 143' TERM HUP

# Whether somebody accepts connections on this port.
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# wait_for SECONDS COMMAND...: until it succeeds; what failed is the caller's to say.
wait_for() {
    local tries=$(($1 * 20))
    shift
    until "$@"; do
        ((tries-- > 0)) || return 1
        sleep 0.05
    done
}

# One request on a connection of its own; prints the name of the backend that answered.
request() {
    local line name=''
    { exec 3<>"/dev/tcp/127.0.0.1/$front"; } 2>/dev/null || return 1
    printf 'GET / HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n' >&3 2>/dev/null
    IFS= read -r -t 5 line <&3 || line=''
    if [[ $line == 'HTTP/1.1 200'* ]]; then
        while IFS= read -r -t 5 line <&3; do
            line=${line%$'\r'}
            [[ $line == 'X-Backend: '* ]] && name=${line#X-Backend: }
        done
    fi
    exec 3<&- 3>&-
    [[ -n $name ]] && printf '%s\n' "$name"
}

# requests N: sends them and prints who answered how many; the number of failures goes to $failed.
requests() {
    local i who
    local -A count=()
    failed=0
    for ((i = 0; i < $1; i++)); do
        if who=$(request); then
            count[$who]=$((${count[$who]:-0} + 1))
        else
            failed=$((failed + 1))
        fi
        [[ -n ${2:-} && $i -eq $2 ]] && $3
    done
    for who in a b c; do
        ((${count[$who]:-0} > 0)) || continue
        printf '  %s answered %3d  %s%s%s\n' "$who" "${count[$who]}" "$green" \
            "$(printf '%*s' "${count[$who]}" '' | tr ' ' '=')" "$plain"
    done
    if ((failed == 0)); then
        say "$1 requests, none failed"
    else
        say "${red}$1 requests, $failed failed${plain}"
    fi
}

# The pool's rows of `show stat`, a few columns of them.
show_pool() {
    say "${dim}sluice ctl -s $socket show stat${plain}"
    "$sluice" ctl -s "$socket" show stat | awk -F, -v red="$red" -v green="$green" -v plain="$plain" '
        NR == 1 { sub(/^# /, ""); for (i = 1; i <= NF; i++) at[$i] = i
                  printf "  %-10s %-10s %-8s %6s %9s %-8s %s\n", "pool", "backend", "status", "weight",
                         "sessions", "check", "seen"; next }
        $at["pxname"] == "app" {
            up = $at["status"] ~ /^UP/
            printf "  %-10s %-10s %s%-8s%s %6s %9s %-8s %s\n", $at["pxname"], $at["svname"],
                   up ? green : red, $at["status"], plain, $at["weight"], $at["stot"],
                   $at["check_status"], $at["last_chk"] }'
}

# state NAME: the status column of a backend.
state() {
    "$sluice" ctl -s "$socket" show stat 2>/dev/null | awk -F, -v name="$1" '
        NR == 1 { sub(/^# /, ""); for (i = 1; i <= NF; i++) at[$i] = i; next }
        $at["pxname"] == "app" && $at["svname"] == name { print $at["status"] }'
}
is_up() { [[ $(state "$1") == UP ]]; }
is_down() { [[ $(state "$1") == DOWN ]]; }
all_up() { is_up a && is_up b && is_up c; }

# What sluice logged about a backend's last change.
show_log() { grep -a "app/$1" "$dir/sluice.log" | grep -ai "$2" | tail -1 | sed "s/^/  $dim/; s/\$/$plain/"; }

start_backend() {
    "$sluice" origin "127.0.0.1:${port[$1]}" --name "$1" 2>"$dir/$1.log" &
    pid[$1]=$!
    wait_for 5 answers "${port[$1]}" || die "backend $1 did not start: $(cat "$dir/$1.log")"
}

kill_b() {
    kill -KILL "${pid[b]}"
    wait "${pid[b]}" 2>/dev/null
    pid[b]=''
}

# ---- go ----

[[ -x $sluice ]] || die "$sluice is missing: run make"
[[ -r $conf ]] || die "$conf is missing"
for who in a b c; do
    answers "${port[$who]}" &&
        die "port ${port[$who]} on 127.0.0.1 is taken; backend $who needs it. Stop what listens there and try again."
done
answers $front &&
    die "port $front on 127.0.0.1 is taken; sluice listens there. Stop what listens there and try again."

title "1. Three backends, and sluice in front of them"
for who in a b c; do
    start_backend $who
    say "backend $who       127.0.0.1:${port[$who]}"
done
"$sluice" -c "$conf" >"$dir/access.log" 2>"$dir/sluice.log" &
pid[sluice]=$!
wait_for 10 "$sluice" healthcheck -s "$socket" >/dev/null 2>&1 ||
    die "sluice did not become ready:"$'\n'"$(cat "$dir/sluice.log")"
wait_for 10 all_up || die "the backends did not come up: $(cat "$dir/sluice.log")"
say "sluice          127.0.0.1:$front   configuration $conf"
grep -a 'engine ' "$dir/sluice.log" | tail -1 | sed "s/^/  $dim/; s/\$/$plain/"

title "2. Thirty requests through it"
requests 30
total_failed=$failed
echo
show_pool

title "3. Backend b is killed in the middle of forty more"
requests 40 10 kill_b
total_failed=$((total_failed + failed))
wait_for 20 is_down b || die "sluice did not notice that b is gone: $(tail -5 "$dir/sluice.log")"
echo
show_pool
show_log b down

title "4. It comes back"
start_backend b
wait_for 30 is_up b || die "sluice did not take b back: $(tail -5 "$dir/sluice.log")"
show_log b up
requests 30
total_failed=$((total_failed + failed))
echo
show_pool

if ((total_failed > 0)); then
    die "$total_failed requests failed; none should have"
fi
title "All 100 requests were answered."
say "The configuration:  $conf       every setting: etc/sluice.conf"
say "Look around:        $sluice ctl -s $socket show stat"
say "                    $sluice ctl -s $socket show servers state"
say "                    hatop -s $socket"
say "Ask who takes what: $sluice explain -s $socket GET http://127.0.0.1:$front/old"
say "Take a backend out: $sluice ctl -s $socket disable server app/a"
say "Without a file:     $sluice quick 8081 3001 3002 3003"
say "Compare with HAProxy and nginx: make bench"

if [[ -t 1 && -z ${CI:-} ]]; then
    echo
    say "${bold}http://127.0.0.1:$front/ stays up until Ctrl-C.${plain}"
    wait "${pid[sluice]}"
    die "sluice has ended by itself:"$'\n'"$(tail -5 "$dir/sluice.log")"
fi
exit 0
