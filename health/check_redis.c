/* check_redis.c - PING, or (health.role) ROLE, in RESP: Redis, Valkey and those who speak alike. */
#include "health/check.h"

#include <string.h>

enum step { STEP_AUTH, STEP_ANSWER, STEP_ROLE_LENGTH, STEP_ROLE };

/* A command, so that no byte of a word means anything. */
static void add_command(struct strbuf *out, uint32_t n, const char *const *words)
{
    strbuf_addf(out, "*%u\r\n", n);
    for (uint32_t i = 0; i < n; i++)
        strbuf_addf(out, "$%zu\r\n%s\r\n", strlen(words[i]), words[i]);
}

static void request(struct check *ck, struct strbuf *out)
{
    const struct health_conf *h = &ck->conf->health;

    if (h->password != NULL && h->user != NULL)
        add_command(out, 3, (const char *[]){"AUTH", h->user, h->password});
    else if (h->password != NULL)
        add_command(out, 2, (const char *[]){"AUTH", h->password});
    else
        ck->step = STEP_ANSWER;
    add_command(out, 1, (const char *[]){h->role != CHECK_ROLE_ANY ? "ROLE" : "PING"});
    add_command(out, 1, (const char *[]){"QUIT"});
}

static bool sent(struct check *ck)
{
    (void)ck;
    return false;
}

static void unexpected(struct check *ck, struct str line)
{
    char got[CHECK_QUOTE_MAX];

    check_say(ck, CHECK_FAILED, CHECK_L7RSP, 0, "redis: unexpected answer \"%s\"",
              check_quote(line, got));
}

static void refused(struct check *ck, struct str line)
{
    char got[CHECK_QUOTE_MAX];
    struct str text = {line.p + 1, line.len - 1};
    bool hint = ck->conf->health.password == NULL && str_starts(text, STR("NOAUTH"));

    check_say(ck, CHECK_FAILED, CHECK_L7STS, 0, "redis: %s%s", check_quote(text, got),
              hint ? " (set health.password)" : "");
}

static void take(struct check *ck, struct str line)
{
    if (str_starts(line, STR("-"))) {
        refused(ck, line);
        return;
    }
    switch ((enum step)ck->step) {
    case STEP_AUTH:
        if (str_eq(line, STR("+OK")))
            ck->step = STEP_ANSWER;
        else
            unexpected(ck, line);
        return;
    case STEP_ANSWER:
        if (ck->conf->health.role != CHECK_ROLE_ANY && str_starts(line, STR("*")))
            ck->step = STEP_ROLE_LENGTH;
        else if (str_eq(line, STR("+PONG")))
            check_say(ck, CHECK_PASSED, CHECK_L7OK, 0, "redis: PONG");
        else
            unexpected(ck, line);
        return;
    case STEP_ROLE_LENGTH:
        if (str_starts(line, STR("$")))
            ck->step = STEP_ROLE;
        else
            unexpected(ck, line);
        return;
    case STEP_ROLE:
        if (str_eq(line, STR("master")))
            check_say_role(ck, true);
        else if (str_eq(line, STR("slave")))
            check_say_role(ck, false);
        else
            unexpected(ck, line);
        return;
    }
}

static bool answer(struct check *ck, struct str data)
{
    struct str line;

    check_see(ck, data);
    while (!ck->decided && check_next_line(ck, &line))
        take(ck, line);
    if (!ck->decided && check_seen_all(ck))
        unexpected(ck, strbuf_str(&ck->seen));
    return ck->decided;
}

/* It hangs up on QUIT. */
static bool rest(struct check *ck, struct str data)
{
    (void)ck, (void)data;
    return false;
}

static void ended(struct check *ck)
{
    check_say(ck, CHECK_FAILED, CHECK_L7RSP, 0, "redis: closed without an answer");
}

const struct check_kind check_kind_redis = {
    .name = "redis",
    .request = request,
    .sent = sent,
    .answer = answer,
    .ended = ended,
    .rest = rest,
};
