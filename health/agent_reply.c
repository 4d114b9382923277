/* agent_reply.c - see agent_reply.h */
#include "health/agent_reply.h"

#include "lb/base/limits.h"

#include <strings.h>

static bool is(struct str word, const char *text)
{
    return word.len == strlen(text) && strncasecmp(word.p, text, word.len) == 0;
}

static bool cut_prefix(struct str *word, const char *prefix)
{
    size_t len = strlen(prefix);

    if (word->len <= len || strncasecmp(word->p, prefix, len) != 0)
        return false;
    word->p += len;
    word->len -= len;
    return true;
}

static bool number(struct str word, uint32_t max, uint32_t *out)
{
    uint64_t value;

    if (str_u64(word, max, &value) < 0)
        return false;
    *out = (uint32_t)value;
    return true;
}

static bool take_percent(struct str word, struct agent_reply *out)
{
    if (word.len < 2 || word.p[word.len - 1] != '%')
        return false;
    word.len--;
    return number(word, AGENT_PERCENT_MAX, &out->percent);
}

static bool take_figure(struct str word, struct agent_reply *out)
{
    if (cut_prefix(&word, "weight:"))
        return take_percent(word, out) || number(word, LIMIT_WEIGHT, &out->weight);
    if (cut_prefix(&word, "maxconn:"))
        return number(word, LIMIT_CONNECTIONS, &out->maxconn);
    return take_percent(word, out);
}

static bool take_state(struct str word, struct agent_reply *out)
{
    static const struct {
        const char *word;
        enum agent_admin admin;
        enum agent_oper oper;
    } states[] = {
        {"ready", AGENT_READY, AGENT_OPER_NONE},  {"drain", AGENT_DRAIN, AGENT_OPER_NONE},
        {"maint", AGENT_MAINT, AGENT_OPER_NONE},  {"up", AGENT_ADMIN_NONE, AGENT_UP},
        {"down", AGENT_ADMIN_NONE, AGENT_DOWN},   {"fail", AGENT_ADMIN_NONE, AGENT_FAIL},
        {"failed", AGENT_ADMIN_NONE, AGENT_FAIL}, {"stopped", AGENT_ADMIN_NONE, AGENT_STOPPED},
    };

    for (size_t i = 0; i < ARRAY_LEN(states); i++) {
        if (!is(word, states[i].word))
            continue;
        if (states[i].admin != AGENT_ADMIN_NONE)
            out->admin = states[i].admin;
        else
            out->oper = states[i].oper;
        return true;
    }
    return false;
}

bool agent_reply_parse(struct str line, struct agent_reply *out)
{
    const char *mark = memchr(line.p, '#', line.len);
    bool known = false;

    *out = (struct agent_reply){
        .percent = AGENT_NOT_SAID, .weight = AGENT_NOT_SAID, .maxconn = AGENT_NOT_SAID};
    if (mark != NULL) {
        out->text = str_trim((struct str){mark + 1, (size_t)(line.p + line.len - mark - 1)});
        line.len = (size_t)(mark - line.p);
    }
    for (;;) {
        struct str word = str_word(&line, " \t,\r\n\v\f");
        if (word.len == 0)
            return known;
        known = take_figure(word, out) || take_state(word, out) || known;
    }
}
