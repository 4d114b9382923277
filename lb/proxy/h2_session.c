/* h2_session.c - HTTP/2 on a client's connection. Not there yet: such connections are closed. */
#include "lb/base/str.h"
#include "lb/proxy/http_session.h"

#include <string.h>

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

enum h2_preface h2_preface(const struct stream *s)
{
    const struct io_buf *b = s->in;
    uint32_t n = sizeof(preface) - 1, at = 0;

    for (; b != NULL && at < n; b = b->next) {
        uint32_t part = b->len < n - at ? b->len : n - at;
        if (memcmp(b->data, preface + at, part) != 0)
            return H2_PREFACE_NO;
        at += part;
    }
    return at == n ? H2_PREFACE_YES : H2_PREFACE_PART;
}

static void begin(struct http_session *s)
{
    http_session_close(s, false);
}

static void run(struct http_session *s)
{
    (void)s;
}

const struct http_protocol h2_protocol = {.begin = begin, .run = run, .timeout = run};
