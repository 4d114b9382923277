/* check_http_parse.c - see check_http_parse.h */
#include "health/check_http_parse.h"

#include <strings.h>

enum state {
    STATUS_LINE,
    HEADER_LINE,
    HEAD_OVER, /* HEAD was told; what comes depends on the framing */
    LENGTH_BODY,
    CHUNK_SIZE,
    CHUNK_DATA,
    CHUNK_END,
    TRAILER,
    UNTIL_CLOSE,
    DONE,
    BAD,
};

void check_http_init(struct check_http *p, bool head_request)
{
    *p = (struct check_http){.state = STATUS_LINE, .head_request = head_request};
}

static enum check_http_event bad(struct check_http *p, const char *problem)
{
    p->state = BAD;
    p->problem = problem;
    return CHECK_HTTP_BAD;
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

static struct str line(const struct check_http *p)
{
    return (struct str){p->line, p->line_len};
}

/* Adds to the line up to its LF, which is cut off *in too. True when the line is complete: without
 * its CR then. */
static bool take_line(struct check_http *p, struct str *in)
{
    const char *lf = memchr(in->p, '\n', in->len);
    size_t len = lf != NULL ? (size_t)(lf - in->p) : in->len;
    size_t room = CHECK_HTTP_LINE_MAX - p->line_len;
    size_t kept = len < room ? len : room;

    memcpy(p->line + p->line_len, in->p, kept);
    p->line_len = (uint16_t)(p->line_len + kept);
    p->cut = p->cut || kept < len;
    p->head_bytes += (uint32_t)len + (lf != NULL);
    in->p += len + (lf != NULL);
    in->len -= len + (lf != NULL);
    if (lf == NULL)
        return false;
    if (!p->cut && p->line_len > 0 && p->line[p->line_len - 1] == '\r')
        p->line_len--;
    return true;
}

static void next_line(struct check_http *p, enum state state)
{
    p->state = (uint8_t)state;
    p->line_len = 0;
    p->cut = false;
}

/* `HTTP/1.x NNN`, and a reason that nobody reads. */
static bool parse_status(struct check_http *p)
{
    struct str l = line(p);

    if (l.len < 12 || !str_starts(l, STR("HTTP/1.")) || !digit(l.p[7]) || l.p[8] != ' ' ||
        l.p[9] < '1' || l.p[9] > '9' || !digit(l.p[10]) || !digit(l.p[11]) ||
        (l.len > 12 && l.p[12] != ' '))
        return false;
    p->status = (uint16_t)((l.p[9] - '0') * 100 + (l.p[10] - '0') * 10 + (l.p[11] - '0'));
    return true;
}

/* ---- header fields ---- */

static bool name_is(struct str name, struct str expected)
{
    return name.len == expected.len && strncasecmp(name.p, expected.p, name.len) == 0;
}

static const char *content_length(struct check_http *p, struct str value)
{
    uint64_t n;

    if (str_u64(value, UINT64_MAX / 2, &n) < 0)
        return "Content-Length is not a number";
    if (p->has_length && p->left != n)
        return "two different Content-Length fields";
    p->has_length = true;
    p->left = n;
    return NULL;
}

/* Chunked counts where it is the last coding; without it the body lasts until the end. */
static const char *transfer_encoding(struct check_http *p, struct str value)
{
    size_t n = value.len;

    while (n > 0 && value.p[n - 1] != ',' && value.p[n - 1] != ' ' && value.p[n - 1] != '\t')
        n--;
    p->chunked = name_is((struct str){value.p + n, value.len - n}, STR("chunked"));
    return NULL;
}

/* NULL, or what is wrong with this line. */
static const char *parse_header(struct check_http *p)
{
    struct str l = line(p);
    const char *colon = memchr(l.p, ':', l.len);

    if (l.p[0] == ' ' || l.p[0] == '\t')
        return "a folded header line";
    if (memchr(l.p, '\0', l.len) != NULL || memchr(l.p, '\r', l.len) != NULL)
        return "a control byte in a header line";
    if (colon == NULL || colon == l.p)
        return "a header line without a name";

    struct str name = {l.p, (size_t)(colon - l.p)};
    struct str value = str_trim((struct str){colon + 1, l.len - name.len - 1});
    if (memchr(name.p, ' ', name.len) != NULL || memchr(name.p, '\t', name.len) != NULL)
        return "white space in a header name";
    bool length = name_is(name, STR("Content-Length"));
    bool encoding = name_is(name, STR("Transfer-Encoding"));
    if (p->cut && (length || encoding))
        return "an endless framing header";
    if (length)
        return content_length(p, value);
    return encoding ? transfer_encoding(p, value) : NULL;
}

/* The empty line has come. */
static enum check_http_event head_over(struct check_http *p)
{
    bool interim = p->status < 200 && p->status != 101;

    if (interim) {
        if (++p->interims > CHECK_HTTP_INTERIM)
            return bad(p, "interim answers without end");
        p->status = 0;
        p->chunked = p->has_length = false;
        next_line(p, STATUS_LINE);
        return CHECK_HTTP_MORE;
    }
    if (p->chunked && p->has_length)
        return bad(p, "both Content-Length and chunked");
    p->state = HEAD_OVER;
    return CHECK_HTTP_HEAD;
}

static enum state body_state(const struct check_http *p)
{
    if (p->head_request || p->status == 204 || p->status == 304)
        return DONE;
    if (p->chunked)
        return CHUNK_SIZE;
    if (p->has_length)
        return p->left > 0 ? LENGTH_BODY : DONE;
    return UNTIL_CLOSE;
}

/* ---- chunks ---- */

static int hex(char c)
{
    if (digit(c))
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* 1 to 15 hexadecimal digits, then the end or an extension. */
static bool parse_chunk_size(struct check_http *p)
{
    struct str l = line(p);
    size_t n = 0;

    p->left = 0;
    for (; n < l.len && n < 16 && hex(l.p[n]) >= 0; n++)
        p->left = p->left * 16 + (uint64_t)hex(l.p[n]);
    return n > 0 && n < 16 && (n == l.len || l.p[n] == ';' || l.p[n] == ' ' || l.p[n] == '\t');
}

/* ---- the machine ---- */

static enum check_http_event status_line(struct check_http *p)
{
    if (!parse_status(p))
        return bad(p, "not an HTTP/1 status line");
    next_line(p, HEADER_LINE);
    return CHECK_HTTP_MORE;
}

static enum check_http_event header_line(struct check_http *p)
{
    if (p->line_len == 0)
        return head_over(p);
    const char *problem = parse_header(p);
    if (problem != NULL)
        return bad(p, problem);
    next_line(p, HEADER_LINE);
    return CHECK_HTTP_MORE;
}

static enum check_http_event chunk_size(struct check_http *p)
{
    if (!parse_chunk_size(p))
        return bad(p, "a chunk size that is no number");
    next_line(p, p->left > 0 ? CHUNK_DATA : TRAILER);
    p->head_bytes = 0;
    return CHECK_HTTP_MORE;
}

static enum check_http_event chunk_end(struct check_http *p)
{
    if (p->line_len != 0)
        return bad(p, "a chunk longer than its size");
    next_line(p, CHUNK_SIZE);
    p->head_bytes = 0;
    return CHECK_HTTP_MORE;
}

static enum check_http_event trailer(struct check_http *p)
{
    bool last = p->line_len == 0;

    next_line(p, last ? DONE : TRAILER);
    return last ? CHECK_HTTP_DONE : CHECK_HTTP_MORE;
}

static enum check_http_event line_done(struct check_http *p)
{
    switch ((enum state)p->state) {
    case STATUS_LINE:
        return status_line(p);
    case HEADER_LINE:
        return header_line(p);
    case CHUNK_SIZE:
        return chunk_size(p);
    case CHUNK_END:
        return chunk_end(p);
    default:
        return trailer(p);
    }
}

/* What cannot become a status line is refused before its end, which may never come. */
static bool hopeless(const struct check_http *p)
{
    size_t n = p->line_len < 7 ? p->line_len : 7;
    return p->state == STATUS_LINE && memcmp(p->line, "HTTP/1.", n) != 0;
}

static enum check_http_event lines(struct check_http *p, struct str *in)
{
    bool complete = take_line(p, in);

    if (hopeless(p))
        return bad(p, "not an HTTP/1 status line");
    if (p->head_bytes > CHECK_HTTP_HEAD_MAX)
        return bad(p, "a header section without end");
    return complete ? line_done(p) : CHECK_HTTP_MORE;
}

static enum check_http_event body(struct check_http *p, struct str *in, struct str *out_body)
{
    bool framed = p->state != UNTIL_CLOSE;
    size_t n = framed && p->left < in->len ? (size_t)p->left : in->len;

    *out_body = (struct str){in->p, n};
    in->p += n;
    in->len -= n;
    if (framed) {
        p->left -= n;
        if (p->left == 0)
            next_line(p, p->state == CHUNK_DATA ? CHUNK_END : DONE);
    }
    return CHECK_HTTP_BODY;
}

enum check_http_event check_http_next(struct check_http *p, struct str *in, struct str *out_body)
{
    enum check_http_event e = CHECK_HTTP_MORE;

    if (p->state == HEAD_OVER)
        next_line(p, body_state(p));
    while (e == CHECK_HTTP_MORE) {
        if (p->state == DONE)
            return CHECK_HTTP_DONE;
        if (p->state == BAD)
            return CHECK_HTTP_BAD;
        if (in->len == 0)
            return CHECK_HTTP_MORE;
        if (p->state == LENGTH_BODY || p->state == CHUNK_DATA || p->state == UNTIL_CLOSE)
            return body(p, in, out_body);
        e = lines(p, in);
    }
    return e;
}

enum check_http_event check_http_eof(struct check_http *p)
{
    if (p->state == HEAD_OVER)
        next_line(p, body_state(p));
    switch ((enum state)p->state) {
    case UNTIL_CLOSE:
    case DONE:
        p->state = DONE;
        return CHECK_HTTP_DONE;
    case BAD:
        return CHECK_HTTP_BAD;
    case STATUS_LINE:
        if (p->line_len == 0 && p->interims == 0)
            return bad(p, "closed without an answer");
        /* fall through */
    case HEADER_LINE:
        return bad(p, "closed within the header");
    default:
        return bad(p, "closed within the body");
    }
}
