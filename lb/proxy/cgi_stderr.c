/* cgi_stderr.c - see cgi_stderr.h */
#include "lb/proxy/cgi_stderr.h"

#include "lb/base/log.h"
#include "lb/proxy/exchange_priv.h"

#include <stdlib.h>

#define LINES_MAX      16
#define LINE_MAX_BYTES 1024 /* longer ones are broken */

struct cgi_stderr {
    uint32_t lines, len;
    char text[LINE_MAX_BYTES];
};

static enum log_level severity_of(struct str line)
{
    static const struct {
        struct str words;
        enum log_level level;
    } known[] = {
        {{"PHP Fatal error", 15}, LOG_LEVEL_ERROR},
        {{"PHP Parse error", 15}, LOG_LEVEL_ERROR},
        {{"PHP Notice", 10}, LOG_LEVEL_INFO},
        {{"PHP Deprecated", 14}, LOG_LEVEL_INFO},
    };

    for (uint32_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (str_contains(line, known[i].words))
            return known[i].level;
    return LOG_LEVEL_WARN;
}

static const char *backend_of(const struct exchange *x)
{
    return x->seek.slot != NULL ? x->seek.slot->name : "?";
}

static void say(struct cgi_stderr *e, const struct exchange *x)
{
    struct str line = str_trim((struct str){e->text, e->len});

    e->len = 0;
    if (line.len == 0 || ++e->lines > LINES_MAX)
        return;
    struct str method = http_str(&x->request, x->request.method_text);
    log_msg(severity_of(line),
            "pool %s: backend %s: stderr: " STR_FMT " (" STR_FMT " " STR_FMT ", request " STR_FMT
            ")",
            x->pool->name, backend_of(x), STR_ARG(line), STR_ARG(method), STR_ARG(x->path),
            STR_ARG(x->request_id));
}

void cgi_stderr_add(struct cgi_stderr **err, const struct exchange *x, const char *data,
                    uint32_t len)
{
    if (*err == NULL)
        *err = calloc(1, sizeof(**err));
    for (uint32_t i = 0; *err != NULL && i < len; i++) {
        struct cgi_stderr *e = *err;
        if (data[i] != '\n')
            e->text[e->len++] = data[i];
        if (data[i] == '\n' || e->len == sizeof(e->text))
            say(e, x);
    }
}

void cgi_stderr_end(struct cgi_stderr **err, const struct exchange *x)
{
    struct cgi_stderr *e = *err;

    *err = NULL;
    if (e == NULL)
        return;
    say(e, x);
    if (e->lines > LINES_MAX)
        log_warn("pool %s: backend %s: stderr: %u more lines (request " STR_FMT ")", x->pool->name,
                 backend_of(x), e->lines - LINES_MAX, STR_ARG(x->request_id));
    free(e);
}
