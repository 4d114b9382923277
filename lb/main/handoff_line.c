/* handoff_line.c - see handoff_line.h */
#include "lb/main/handoff_line.h"

#include <errno.h>

static int take_number(struct str *rest, uint64_t max, uint64_t *out)
{
    return str_u64(str_word(rest, " "), max, out) < 0 ? -EINVAL : 0;
}

static int take_pid(struct str *rest, int *out)
{
    uint64_t pid;

    if (take_number(rest, INT32_MAX, &pid) < 0 || pid == 0)
        return -EINVAL;
    *out = (int)pid;
    return 0;
}

int handoff_line_parse(struct str line, struct handoff_line *out)
{
    struct handoff_line l = {0};
    struct str rest = line, word = str_word(&rest, " ");
    uint64_t n = 0;
    int rc = 0;

    if (str_eq(word, STR("sluice-handoff"))) {
        l.word = HANDOFF_HELLO;
        rc = take_number(&rest, UINT32_MAX, &l.number);
        if (rc == 0)
            rc = take_pid(&rest, &l.pid);
    } else if (str_eq(word, STR("watchdog"))) {
        l.word = HANDOFF_WATCHDOG;
        rc = take_number(&rest, 1ULL << 52, &l.number);
    } else if (str_eq(word, STR("state"))) {
        l.word = HANDOFF_STATE;
        l.fds = 1;
    } else if (str_eq(word, STR("listen"))) {
        l.word = HANDOFF_LISTEN;
        rc = take_number(&rest, HANDOFF_FDS_MAX, &n);
        l.fds = (uint32_t)n;
    } else if (str_eq(word, STR("end"))) {
        l.word = HANDOFF_END;
    } else if (str_eq(word, STR("serving"))) {
        l.word = HANDOFF_SERVING;
        rc = take_pid(&rest, &l.pid);
    } else if (str_eq(word, STR("leaving"))) {
        l.word = HANDOFF_LEAVING;
    } else if (str_eq(word, STR("refused"))) {
        l.word = HANDOFF_REFUSED;
        l.text = str_trim(rest);
    }
    if (rc == 0)
        *out = l;
    return rc;
}
