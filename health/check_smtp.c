/* check_smtp.c - a greeting and an answer to EHLO (RFC 5321), then QUIT, so that no mail server
 * finds our connections odd. With STARTTLS (RFC 3207) before, and EHLO again, where checks are
 * encrypted. */
#include "health/check.h"
#include "lb/net/addr.h"

#include <stdio.h>
#include <strings.h>

enum step { STEP_GREETING, STEP_EHLO, STEP_STARTTLS };

static void add_hello(struct check *ck, struct strbuf *out)
{
    const char *name = ck->conf->health.host != NULL ? ck->conf->health.host : "localhost";

    strbuf_addf(out, "EHLO %s\r\n", name);
    ck->step = STEP_EHLO;
}

/* The server speaks first, but not again when TLS was asked for. */
static void request(struct check *ck, struct strbuf *out)
{
    if (ck->asked)
        add_hello(ck, out);
}

static bool sent(struct check *ck)
{
    (void)ck;
    return false;
}

static void say_hello(struct check *ck)
{
    struct strbuf text = {0};

    add_hello(ck, &text);
    check_send(ck, text.p, text.len);
    strbuf_fini(&text);
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

/* ---- before TLS ---- */

static void ask_tls(struct check *ck, struct strbuf *out)
{
    (void)ck, (void)out; /* the server speaks first */
}

/* A line of a reply. True: it is decided, or the handshake follows. */
static bool take_asking(struct check *ck, struct str line)
{
    static const char *const wanted[] = {"220", "250", "220"}; /* by step */
    bool last = line.len <= 3 || line.p[3] != '-';
    char got[CHECK_QUOTE_MAX];

    if (!str_starts(line, str_of(wanted[ck->step]))) {
        if (ck->step == STEP_STARTTLS)
            check_say(ck, CHECK_FAILED, CHECK_L6RSP, 0, "smtp: \"%s\" to STARTTLS, expected 220",
                      check_quote(line, got));
        else
            check_say(ck, CHECK_FAILED, CHECK_L7STS, 0, "smtp: \"%s\", expected %s",
                      check_quote(line, got), wanted[ck->step]);
    } else if (ck->step == STEP_EHLO && line.len == 12 &&
               strncasecmp(line.p + 4, "STARTTLS", 8) == 0) {
        ck->has_starttls = true;
    }
    if (ck->decided || !last)
        return ck->decided;
    if (ck->step == STEP_GREETING) {
        say_hello(ck);
    } else if (ck->step == STEP_STARTTLS) {
        return true;
    } else if (ck->has_starttls) {
        check_send(ck, "STARTTLS\r\n", 10);
        ck->step = STEP_STARTTLS;
    } else {
        check_say_no_tls(ck, "does not offer STARTTLS");
    }
    return ck->decided;
}

static bool tls_answer(struct check *ck, struct str data, struct strbuf *out)
{
    struct str line;
    bool over = false;

    (void)out;
    check_see(ck, data);
    while (!over && check_next_line(ck, &line))
        over = take_asking(ck, line);
    if (!over && check_seen_all(ck)) {
        check_say_no_tls(ck, "an answer without an end");
        over = true;
    }
    if (ck->decided)
        check_send(ck, "QUIT\r\n", 6);
    return over;
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
    .ask_tls = ask_tls,
    .tls_answer = tls_answer,
};
