/* check_smtp.c - a greeting and an answer to EHLO (RFC 5321), then QUIT, so that no mail server
 * finds our connections odd. */
#include "health/check.h"
#include "lb/net/addr.h"

#include <stdio.h>

enum step { STEP_GREETING, STEP_EHLO };

static void request(struct check *ck, struct strbuf *out)
{
    (void)ck, (void)out; /* the server speaks first */
}

static bool sent(struct check *ck)
{
    (void)ck;
    return false;
}

static void say_hello(struct check *ck)
{
    const char *name = ck->conf->health.host != NULL ? ck->conf->health.host : "localhost";
    struct strbuf text = {0};

    strbuf_addf(&text, "EHLO %s\r\n", name);
    check_send(ck, text.p, text.len);
    strbuf_fini(&text);
    ck->step = STEP_EHLO;
}

/* The last line of a reply: three digits and no hyphen behind them. */
static void take(struct check *ck, struct str line)
{
    struct str wanted = ck->step == STEP_GREETING ? STR("220") : STR("250");
    char got[CHECK_QUOTE_MAX];

    if (line.len > 3 && line.p[3] == '-' && str_starts(line, wanted))
        return;
    if (!str_starts(line, wanted))
        check_say(ck, CHECK_FAILED, CHECK_L7STS, 0, "smtp: \"%s\", expected %.*s",
                  check_quote(line, got), (int)wanted.len, wanted.p);
    else if (ck->step == STEP_GREETING)
        say_hello(ck);
    else
        check_say(ck, CHECK_PASSED, CHECK_L7OK, 250, "smtp: %s", check_quote(line, got));
    if (ck->decided)
        check_send(ck, "QUIT\r\n", 6);
}

static bool answer(struct check *ck, struct str data)
{
    char got[CHECK_QUOTE_MAX];
    struct str line;

    check_see(ck, data);
    while (!ck->decided && check_next_line(ck, &line))
        take(ck, line);
    if (!ck->decided && check_seen_all(ck))
        check_say(ck, CHECK_FAILED, CHECK_L7RSP, 0, "smtp: unexpected answer \"%s\"",
                  check_quote(strbuf_str(&ck->seen), got));
    return ck->decided;
}

static bool rest(struct check *ck, struct str data)
{
    (void)ck, (void)data;
    return false;
}

static void ended(struct check *ck)
{
    check_say(ck, CHECK_FAILED, CHECK_L7RSP, 0, "smtp: closed without an answer");
}

const struct check_kind check_kind_smtp = {
    .name = "smtp",
    .request = request,
    .sent = sent,
    .answer = answer,
    .ended = ended,
    .rest = rest,
};
