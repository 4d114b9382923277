# bash completion for sluice; goes to /usr/share/bash-completion/completions/sluice.

# Words of the stats socket's commands that may follow those written so far. The names of pools and
# backends come from the socket, where it answers.
_sluice_ctl_words() {
    local sluice=$1 socket=$2 typed=$3 line rest
    "$sluice" --print-ctl-words 2>/dev/null | while read -r line; do
        [[ -z $typed || $line == "$typed "* ]] || continue
        rest=${line#"$typed"}
        rest=${rest# }
        [[ -n $rest ]] && echo "${rest%% *}"
    done | sort -u
    case $typed in
    "show servers "* | "show stat" | "show latency" | "show backend")
        timeout 1 "$sluice" ctl ${socket:+-s "$socket"} show backend 2>/dev/null | grep -v '^#'
        ;;
    "set server" | "set weight" | "get weight" | "enable "* | "disable "* | "shutdown sessions server" | "del server" | "set maxconn server" | \
        "wait "*" srv-removable")
        timeout 1 "$sluice" ctl ${socket:+-s "$socket"} show servers conn 2>/dev/null |
            sed -n 's/^\([^# ][^ ]*\/[^ ]*\) .*/\1/p'
        ;;
    "add server "*/*" "*) printf '%s\n' weight maxconn backup enabled disabled check reason ;;
    "set server "*" state") printf '%s\n' ready drain maint ;;
    "set server "*" health") printf '%s\n' up stopping down ;;
    "set server "*" agent") printf '%s\n' up down ;;
    "set server "*" agent-addr "* | "set server "*" addr "*) [[ $typed == *" port"* ]] || echo port ;;
    "set server "*/*" "*) ;;
    "set server "*/*) printf '%s\n' addr agent agent-addr agent-port agent-send health state weight ;;
    esac
}

_sluice() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command="" socket="" i
    local commands="run quick explain ctl top healthcheck origin version help" options=""
    local -a ctl=()
    COMPREPLY=()
    # A colon or equals sign makes words of its own in COMP_WORDS: good enough here.
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        -s | --socket)
            socket=${COMP_WORDS[++i]:-}
            ;;
        -c | --config) ((i++)) ;;
        -*) ;;
        *)
            if [[ -z $command ]]; then command=${COMP_WORDS[i]}; else ctl+=("${COMP_WORDS[i]}"); fi
            ;;
        esac
    done
    case $prev in
    -c | --config | -s | --socket | --stats | --cert | --key)
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        compopt -o filenames
        return
        ;;
    --mode) options="http tcp" ;;
    --balance) options="round_robin least_connections hash random_two peak_ewma first" ;;
    --log-level) options="error warn info debug" ;;
    --log-format) options="combined httplog tcplog json" ;;
    --io) options="auto uring epoll" ;;
    esac
    if [[ -z $options ]]; then
        case $command in
        "") options="$commands -c -t -T -v -V -h --config --check --dump --version --build --help" ;;
        quick)
            options="--mode --balance --health --stats --admin --cert --key --max-connections --drain-delay
                --drain-deadline --log-level --log-format --workers --io --print --help"
            ;;
        explain) options="-c -s -H --from --listener --json --help GET HEAD POST PUT DELETE" ;;
        ctl)
            options="$(_sluice_ctl_words "${COMP_WORDS[0]}" "$socket" "${ctl[*]}")"
            ((${#ctl[@]} > 0)) || options+=" -s --help"
            ;;
        top) options="-s --interval --once --help" ;;
        healthcheck) options="-s --help" ;;
        origin) options="--name --bytes --delay --fail-rate --udp --help" ;;
        esac
    fi
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
}
complete -F _sluice sluice
