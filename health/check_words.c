/* check_words.c - what checks say of what they have seen, and look for in it. */
#include "health/check.h"
#include "lb/net/stream_tls.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

void check_say(struct check *ck, enum check_end end, enum check_result result, uint32_t code,
               const char *fmt, ...)
{
    struct check_outcome *o = &ck->outcome;
    va_list ap;

    sl_assert(!ck->decided);
    ck->decided = true;
    o->end = end;
    o->result = result;
    o->code = code;
    o->duration_us = (uint32_t)(loop_now_us(ck->loop) - ck->started_us);
    va_start(ap, fmt);
    vsnprintf(o->desc, sizeof(o->desc), fmt, ap);
    va_end(ap);
}

void check_say_connected(struct check *ck)
{
    struct stream *s = &ck->stream;
    struct tls_facts f;

    if (!stream_is_tls(s))
        check_say(ck, CHECK_PASSED, CHECK_L4OK, 0, "connected");
    else if (!stream_tls_facts(s, &f))
        check_say(ck, CHECK_PASSED, CHECK_L6OK, 0, "connected, TLS");
    else
        check_say(ck, CHECK_PASSED, CHECK_L6OK, 0, "connected, %.*s, certificate %s",
                  (int)f.version.len, f.version.p,
                  ck->conf->health.tls->verify ? "verified" : "not verified");
}

void check_say_no_tls(struct check *ck, const char *text)
{
    check_say(ck, CHECK_FAILED, CHECK_L6RSP, 0, "%s: %s", ck->kind->name, text);
}

bool check_is_private(const struct check *ck)
{
    return stream_is_tls(&ck->stream) || addr_family(&ck->addr) == AF_UNIX;
}

void check_say_role(struct check *ck, bool primary)
{
    enum check_role wanted = ck->conf->health.role;
    enum check_role is = primary ? CHECK_ROLE_PRIMARY : CHECK_ROLE_REPLICA;
    const char *name = primary ? "primary" : "replica";

    if (wanted == CHECK_ROLE_ANY || wanted == is)
        check_say(ck, CHECK_PASSED, CHECK_L7OK, 0, "%s: is a %s", ck->kind->name, name);
    else
        check_say(ck, CHECK_FAILED, CHECK_L7STS, 0, "%s: is a %s, expected a %s", ck->kind->name,
                  name, primary ? "replica" : "primary");
    ck->outcome.definite = wanted != CHECK_ROLE_ANY;
}

void check_see(struct check *ck, struct str data)
{
    strbuf_add_str(&ck->seen, data);
}

bool check_next_bytes(struct check *ck, size_t n, struct str *out)
{
    if (ck->seen.len - ck->at < n)
        return false;
    *out = (struct str){ck->seen.p + ck->at, n};
    ck->at += n;
    return true;
}

bool check_next_line(struct check *ck, struct str *out)
{
    struct str rest = {ck->seen.p + ck->at, ck->seen.len - ck->at};
    const char *lf = rest.len > 0 ? memchr(rest.p, '\n', rest.len) : NULL;

    if (lf == NULL)
        return false;
    size_t n = (size_t)(lf - rest.p);
    ck->at += n + 1;
    *out = (struct str){rest.p, n > 0 && rest.p[n - 1] == '\r' ? n - 1 : n};
    return true;
}

const char *check_quote(struct str s, char buf[static CHECK_QUOTE_MAX])
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool plain = isprint(c) && c < 0x80 && c != '"' && c != '\\';
        if (n + 4 + sizeof("...") > CHECK_QUOTE_MAX) {
            n += (size_t)sprintf(buf + n, "...");
            break;
        }
        n += (size_t)sprintf(buf + n, plain ? "%c" : c == '"' || c == '\\' ? "\\%c" : "\\x%02x", c);
    }
    buf[n] = '\0';
    return buf;
}

const char *check_error_text(int error, char buf[static CHECK_ERROR_MAX])
{
    const char *text = error == ENOENT ? "no such socket" : strerrordesc_np(error);

    snprintf(buf, CHECK_ERROR_MAX, "%s", text != NULL ? text : "unknown error");
    buf[0] = (char)tolower((unsigned char)buf[0]);
    return buf;
}

bool check_seen_all(const struct check *ck)
{
    return ck->seen.len >= LIMIT_CHECK_BODY;
}

bool check_find(struct check *ck, struct str data, struct str needle)
{
    /* The part before `from` was searched already; a match may begin in its last bytes. */
    size_t from = ck->seen.len < needle.len ? 0 : ck->seen.len - needle.len + 1;
    size_t room = LIMIT_CHECK_BODY - ck->seen.len;

    strbuf_add(&ck->seen, data.p, data.len < room ? data.len : room);
    struct str rest = {ck->seen.p + from, ck->seen.len - from};
    return needle.len == 0 || memmem(rest.p, rest.len, needle.p, needle.len) != NULL;
}
