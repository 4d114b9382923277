/* check_tcp.c - connecting is enough; or send something, and look for something in what comes. */
#include "health/check.h"

static void request(struct check *ck, struct strbuf *out)
{
    const struct health_conf *h = &ck->conf->health;

    if (h->send != NULL)
        strbuf_add(out, h->send, h->send_len);
}

static bool sent(struct check *ck)
{
    if (ck->conf->health.expect != NULL)
        return false;
    check_say_connected(ck);
    return true;
}

static void not_found(struct check *ck)
{
    char wanted[CHECK_QUOTE_MAX], got[CHECK_QUOTE_MAX];

    if (ck->seen.len == 0)
        check_say(ck, CHECK_FAILED, CHECK_L7RSP, 0, "closed without an answer");
    else
        check_say(ck, CHECK_FAILED, CHECK_L7RSP, 0, "answer does not contain \"%s\": \"%s\"",
                  check_quote(str_of(ck->conf->health.expect), wanted),
                  check_quote(strbuf_str(&ck->seen), got));
}

static bool answer(struct check *ck, struct str data)
{
    const struct str wanted = str_of(ck->conf->health.expect);
    char quoted[CHECK_QUOTE_MAX];

    if (check_find(ck, data, wanted))
        check_say(ck, CHECK_PASSED, CHECK_L7OK, 0, "answer contains \"%s\"",
                  check_quote(wanted, quoted));
    else if (check_seen_all(ck))
        not_found(ck);
    return ck->decided;
}

const struct check_kind check_kind_tcp = {
    .name = "tcp",
    .request = request,
    .sent = sent,
    .answer = answer,
    .ended = not_found,
};
