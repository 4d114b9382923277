/* fcgi.c - see fcgi.h */
#include "lb/http/fcgi.h"

#include <string.h>

#define FCGI_VERSION   1
#define FCGI_RESPONDER 1
#define FCGI_KEEP_CONN 1

uint32_t fcgi_head(enum fcgi_type type, uint32_t len, char out[static FCGI_HEAD_BYTES])
{
    out[0] = FCGI_VERSION;
    out[1] = (char)type;
    out[2] = 0;
    out[3] = FCGI_REQUEST_ID;
    out[4] = (char)(len >> 8);
    out[5] = (char)len;
    out[6] = 0; /* padding */
    out[7] = 0;
    return FCGI_HEAD_BYTES;
}

uint32_t fcgi_begin(bool keep, char out[static FCGI_BEGIN_BYTES])
{
    fcgi_head(FCGI_BEGIN_REQUEST, 8, out);
    memset(out + FCGI_HEAD_BYTES, 0, 8);
    out[FCGI_HEAD_BYTES + 1] = FCGI_RESPONDER;
    out[FCGI_HEAD_BYTES + 2] = keep ? FCGI_KEEP_CONN : 0;
    return FCGI_BEGIN_BYTES;
}

static const char *judge_head(const uint8_t *h)
{
    uint16_t id = (uint16_t)(h[2] << 8 | h[3]);
    uint32_t len = (uint32_t)h[4] << 8 | h[5];

    if (h[0] != FCGI_VERSION)
        return "not-fastcgi";
    switch (h[1]) {
    case FCGI_STDOUT:
    case FCGI_STDERR:
        return id == FCGI_REQUEST_ID ? NULL : "record-of-another-request";
    case FCGI_END_REQUEST:
        if (id != FCGI_REQUEST_ID)
            return "record-of-another-request";
        return len == 8 ? NULL : "bad-end-request";
    case FCGI_GET_VALUES_RESULT: /* was not asked for, and does no harm */
    case FCGI_UNKNOWN_TYPE:
        return id == 0 ? NULL : "unexpected-record";
    default:
        return "unexpected-record";
    }
}

/* Fills r->head; true when there are 8 bytes in it. */
static bool fill(struct fcgi_reader *r, const uint8_t *data, uint32_t len, uint32_t *used)
{
    uint32_t n = FCGI_HEAD_BYTES - r->have;

    if (n > len - *used)
        n = len - *used;
    memcpy(r->head + r->have, data + *used, n);
    r->have = (uint8_t)(r->have + n);
    *used += n;
    return r->have == FCGI_HEAD_BYTES;
}

/* False: it will not do. */
static bool begin_record(struct fcgi_reader *r)
{
    r->bad = judge_head(r->head);
    if (r->bad != NULL)
        return false;
    r->type = r->head[1];
    r->left = (uint16_t)(r->head[4] << 8 | r->head[5]);
    r->padding = r->head[6];
    r->have = 0;
    return true;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Passes content over, then padding; true when the record is over. */
static bool skip(struct fcgi_reader *r, uint32_t len, uint32_t *used)
{
    uint32_t n = least(r->left, len - *used);

    r->left = (uint16_t)(r->left - n);
    *used += n;
    n = least(r->padding, len - *used);
    if (r->left == 0) {
        r->padding = (uint8_t)(r->padding - n);
        *used += n;
    }
    return r->left == 0 && r->padding == 0;
}

/* True: a piece is there, or the end is. */
static bool read_record(struct fcgi_reader *r, const uint8_t *data, uint32_t len, uint32_t *at,
                        uint32_t *used, enum fcgi_event *out)
{
    if ((r->type == FCGI_STDOUT || r->type == FCGI_STDERR) && r->left > 0) {
        uint32_t n = least(r->left, len - *used);
        *at = *used;
        *used += n;
        r->left = (uint16_t)(r->left - n);
        *out = r->type == FCGI_STDOUT ? FCGI_EVENT_STDOUT : FCGI_EVENT_STDERR;
        return n > 0;
    }
    if (r->type == FCGI_END_REQUEST && r->left > 0) {
        if (!fill(r, data, len, used))
            return false;
        r->left = 0;
        r->app = (uint32_t)r->head[0] << 24 | (uint32_t)r->head[1] << 16 |
                 (uint32_t)r->head[2] << 8 | r->head[3];
        r->protocol = r->head[4];
        r->have = 0;
    }
    if (!skip(r, len, used))
        return false;
    *out = FCGI_EVENT_END;
    bool end = r->type == FCGI_END_REQUEST;
    r->type = 0;
    return end;
}

enum fcgi_event fcgi_read(struct fcgi_reader *r, const uint8_t *data, uint32_t len, uint32_t *at,
                          uint32_t *used)
{
    enum fcgi_event e;

    *at = *used = 0;
    for (;;) {
        if (r->type != 0) {
            if (read_record(r, data, len, at, used, &e))
                return e;
        } else if (fill(r, data, len, used) && !begin_record(r)) {
            return FCGI_EVENT_BAD;
        }
        if (*used == len && !(r->type != 0 && r->left == 0 && r->padding == 0))
            return FCGI_EVENT_MORE;
    }
}
