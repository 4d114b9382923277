/* check_tcp.c - connecting is enough; or send something and look for something in what comes. */
#include "lb/base/str.h"

#include "health/check.h"

static void request(const struct check *c, struct strbuf *out)
{
    if (c->conf->health.send != NULL)
        strbuf_add(out, c->conf->health.send, c->conf->health.send_len);
}

static bool judge(struct check *c, bool eof)
{
    const struct health_conf *h = &c->conf->health;

    if (h->expect == NULL) {
        check_say(c, true, CHECK_L4OK, 0, "connected");
        return true;
    }
    if (str_contains((struct str){c->in, c->in_len}, str_of(h->expect))) {
        check_say(c, true, CHECK_L7OK, 0, "found \"%s\"", h->expect);
        return true;
    }
    if (!eof)
        return false;
    check_say(c, false, CHECK_L7RSP, 0, "%zu bytes received without \"%s\"", c->in_len, h->expect);
    return true;
}

const struct check_kind check_kind_tcp = {
    .name = "tcp",
    .request = request,
    .judge = judge,
    .timed_out = CHECK_L7TOUT,
    .broken = CHECK_L7RSP,
};
