/* check_exec.c - checks that a program makes: the keeper runs it (lb/main/keeper_program.c) and
 * sends one line about its end: "exited CODE TEXT", "signal NUMBER", "timeout", or "unable TEXT"
 * where it was not run. TEXT is the first line that it has written. */
#include "health/check.h"

#include <string.h>

static void request(struct check *ck, struct strbuf *out)
{
    (void)ck, (void)out; /* all was said when it was started */
}

static bool sent(struct check *ck)
{
    (void)ck;
    return false;
}

/* "word rest": true where it is that word. */
static bool begins(struct str line, const char *word, struct str *rest)
{
    size_t n = strlen(word);

    if (line.len < n || memcmp(line.p, word, n) != 0 || (line.len > n && line.p[n] != ' '))
        return false;
    *rest = line.len > n ? (struct str){line.p + n + 1, line.len - n - 1} : STR("");
    return true;
}

static uint32_t take_number(struct str *s)
{
    uint32_t n = 0;

    while (s->len > 0 && s->p[0] >= '0' && s->p[0] <= '9' && n < 1000) {
        n = n * 10 + (uint32_t)(s->p[0] - '0');
        *s = (struct str){s->p + 1, s->len - 1};
    }
    if (s->len > 0 && s->p[0] == ' ')
        *s = (struct str){s->p + 1, s->len - 1};
    return n;
}

static void judge(struct check *ck, struct str line)
{
    char text[CHECK_QUOTE_MAX];
    struct str rest;

    if (begins(line, "exited", &rest)) {
        uint32_t code = take_number(&rest);
        check_quote(rest, text);
        check_say(ck, code == 0 ? CHECK_PASSED : CHECK_FAILED,
                  code == 0 ? CHECK_PROCOK : CHECK_PROCERR, code, "exit %u%s%s", code,
                  rest.len > 0 ? ": " : "", rest.len > 0 ? text : "");
    } else if (begins(line, "signal", &rest)) {
        uint32_t number = take_number(&rest);
        check_say(ck, CHECK_FAILED, CHECK_PROCERR, number, "the program was ended by signal %u",
                  number);
    } else if (begins(line, "timeout", &rest)) {
        check_say(ck, CHECK_FAILED, CHECK_PROCTOUT, 0, "the program did not end in time");
    } else {
        if (!begins(line, "unable", &rest))
            rest = line;
        check_say(ck, CHECK_UNABLE, CHECK_SOCKERR, 0, "the program was not run: %s",
                  check_quote(rest, text));
    }
}

static bool answer(struct check *ck, struct str data)
{
    struct str line;

    check_see(ck, data);
    if (check_next_line(ck, &line))
        judge(ck, line);
    else if (check_seen_all(ck))
        check_say(ck, CHECK_UNABLE, CHECK_SOCKERR, 0, "the keeper's word has no end");
    return ck->decided;
}

static void ended(struct check *ck)
{
    check_say(ck, CHECK_UNABLE, CHECK_SOCKERR, 0, "the keeper does not say how the program ended");
}

const struct check_kind check_kind_exec = {
    .name = "exec",
    .request = request,
    .sent = sent,
    .answer = answer,
    .ended = ended,
};
