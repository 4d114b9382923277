/* origin_request.c - see origin_request.h */
#include "lb/main/origin_request.h"

#include <string.h>
#include <strings.h>

static void read_field(struct origin_request *r, struct str line)
{
    const char *colon = memchr(line.p, ':', line.len);
    if (colon == NULL) {
        r->bad = true;
        return;
    }
    struct str name = {line.p, (size_t)(colon - line.p)};
    struct str value = str_trim((struct str){colon + 1, line.len - name.len - 1});

    if (name.len == 14 && strncasecmp(name.p, "content-length", 14) == 0) {
        if (str_u64(value, UINT64_MAX / 2, &r->body) < 0)
            r->bad = true;
    } else if (name.len == 10 && strncasecmp(name.p, "connection", 10) == 0) {
        if (value.len == 5 && strncasecmp(value.p, "close", 5) == 0)
            r->close = true;
        else if (value.len == 10 && strncasecmp(value.p, "keep-alive", 10) == 0)
            r->close = false;
    } else if (name.len == 17 && strncasecmp(name.p, "transfer-encoding", 17) == 0) {
        r->bad = true; /* bodies come by length only */
    } else if (name.len == 6 && strncasecmp(name.p, "expect", 6) == 0) {
        r->close = true; /* the answer comes at once, the body may never */
        r->body = 0;
    }
}

void origin_request_parse(struct str head, struct origin_request *r)
{
    *r = (struct origin_request){0};
    const char *eol = memchr(head.p, '\r', head.len);
    struct str line = {head.p, (size_t)(eol - head.p)};
    struct str method = str_word(&line, " "), target = str_word(&line, " ");
    struct str version = str_word(&line, " ");

    r->bad = method.len == 0 || target.len == 0 || !str_starts(version, STR("HTTP/1."));
    r->head = str_eq(method, STR("HEAD"));
    r->close = str_eq(version, STR("HTTP/1.0"));
    r->healthz = str_eq(target, STR("/healthz")) || str_starts(target, STR("/healthz?"));
    for (const char *p = eol + 2, *end = head.p + head.len - 2; p < end && !r->bad;) {
        const char *next = memchr(p, '\r', (size_t)(end - p));
        if (next == NULL || next[1] != '\n') {
            r->bad = true;
            break;
        }
        if ((*p | 0x20) == 'c' || (*p | 0x20) == 't' || (*p | 0x20) == 'e')
            read_field(r, (struct str){p, (size_t)(next - p)});
        p = next + 2;
    }
}
