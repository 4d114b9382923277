/* check_agent.c - asks the agent beside a backend what it thinks of it (agent_reply.h): connects,
 * sends what the configuration says, reads a line. */
#include "health/check.h"

#define LINE_MAX_BYTES 1024

static void request(struct check *ck, struct strbuf *out)
{
    const struct health_conf *h = &ck->conf->health;

    if (h->send != NULL)
        strbuf_add(out, h->send, h->send_len);
}

static bool sent(struct check *ck)
{
    (void)ck;
    return false;
}

static bool judge(struct check *ck, struct str line)
{
    char quoted[CHECK_QUOTE_MAX];

    if (agent_reply_parse(line, &ck->agent))
        check_say(ck, CHECK_PASSED, CHECK_L7OK, 0, "agent: %s",
                  check_quote(str_trim(line), quoted));
    else
        check_say(ck, CHECK_FAILED, CHECK_L7RSP, 0, "agent: \"%s\" is nothing that is understood",
                  check_quote(str_trim(line), quoted));
    return true;
}

static bool answer(struct check *ck, struct str data)
{
    struct str line;

    check_see(ck, data);
    if (check_next_line(ck, &line))
        return judge(ck, line);
    if (ck->seen.len <= LINE_MAX_BYTES)
        return false;
    check_say(ck, CHECK_FAILED, CHECK_L7RSP, 0, "agent: a line of more than %d bytes",
              LINE_MAX_BYTES);
    return true;
}

/* Many send no end of a line and close. */
static void ended(struct check *ck)
{
    if (ck->seen.len > 0)
        judge(ck, strbuf_str(&ck->seen));
    else
        check_say(ck, CHECK_FAILED, CHECK_L7RSP, 0, "agent: closed without a word");
}

const struct check_kind check_kind_agent = {
    .name = "agent",
    .request = request,
    .sent = sent,
    .answer = answer,
    .ended = ended,
};
