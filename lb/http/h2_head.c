/* h2_head.c - see h2_head.h
 *
 * :authority is kept as a Host field: who asks for Host finds it, and HTTP/1 needs one (RFC 9113
 * section 8.3.1). Cookie crumbs are joined as they come; only those that others have come between
 * wait for the end. */
#include "lb/http/h2_head.h"

#include "lb/base/arena.h"
#include "lb/http/byte_class.h"
#include "lb/http/h1_priv.h"
#include "lb/http/uri.h"

#include <errno.h>

#define METHOD_MAX     32
#define NAME_MAX       255
#define FIELD_OVERHEAD 32  /* RFC 9113 section 6.5.2 */
#define FIRST_TEXT     896 /* with the fields, and a response's, in one chunk of an arena */
#define FIRST_FIELDS   32
#define CRUMB_JOIN     "; "
#define COOKIE_SHORT                                                                               \
    20 /* bytes: short secrets are guessed through a table (RFC 7541 section 7.1.3) */

enum pseudo {
    METHOD = 1,
    SCHEME = 2,
    AUTHORITY = 4,
    PATH = 8,
    PROTOCOL = 16,
    STATUS = 32,
};

static void refuse(struct h2_head *b, enum h1_result why)
{
    if (b->result == H1_MORE)
        b->result = (uint8_t)why;
}

static void refuse_room(struct h2_head *b, int error)
{
    b->no_memory = b->no_memory || error == -ENOMEM;
    refuse(b, H1_HEAD_TOO_LARGE);
}

void h2_head_begin(struct h2_head *b, enum h2_head_kind kind, const struct h1_limits *limits,
                   struct arena *a, struct http_head *out)
{
    *b = (struct h2_head){
        .out = out, .arena = a, .limits = *limits, .kind = (uint8_t)kind, .result = H1_MORE};
    uint32_t text = kind == H2_TRAILERS ? FIRST_TEXT / 4 : FIRST_TEXT;
    uint16_t fields = kind == H2_TRAILERS ? FIRST_FIELDS / 4 : FIRST_FIELDS;
    *out = (struct http_head){.mem = arena_alloc(a, text), .version = 20, .keep_alive = true};
    out->fields = arena_alloc(a, fields * sizeof(out->fields[0]));
    if (out->mem == NULL || out->fields == NULL) {
        refuse_room(b, -ENOMEM);
        return;
    }
    out->cap = text;
    out->max_fields = fields;
}

/* ---- text ---- */

static struct http_slice add_text(struct h2_head *b, struct str s)
{
    struct http_slice at = {0, 0};
    int r = http_head_text(b->out, b->arena, s, &at);
    if (r != 0)
        refuse_room(b, r);
    return at;
}

/* A line as HTTP/1 has it. */
static struct http_field *add_line(struct h2_head *b, struct str name, struct str value,
                                   enum http_field_id id)
{
    struct http_head *h = b->out;
    int r = http_head_reserve(h, b->arena, name.len + value.len + 4);

    if (r != 0) {
        refuse_room(b, r);
        return NULL;
    }
    struct http_field *f = &h->fields[h->n_fields++];
    f->id = (uint8_t)id;
    f->name_len = (uint8_t)name.len;
    f->name_at = http_head_append(h, name).at;
    http_head_append(h, STR(": "));
    f->value = http_head_append(h, value);
    http_head_append(h, STR("\r\n"));
    return f;
}

static bool all_of(struct str s, unsigned class)
{
    unsigned all = class;
    for (size_t i = 0; i < s.len; i++)
        all &= byte_classes[(uint8_t)s.p[i]];
    return all == class;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* RFC 9113 section 8.2.1: no control bytes (tab is none), no white space at either end. */
static bool is_value(struct str s)
{
    return s.len == 0 || (!is_blank(s.p[0]) && !is_blank(s.p[s.len - 1]) && all_of(s, BYTE_VALUE));
}

/* ---- pseudo-header fields ---- */

static enum pseudo pseudo_of(struct str name)
{
    static const struct {
        struct str name;
        enum pseudo what;
    } names[] = {
        {{":method", 7}, METHOD},        {{":path", 5}, PATH},         {{":scheme", 7}, SCHEME},
        {{":authority", 10}, AUTHORITY}, {{":protocol", 9}, PROTOCOL}, {{":status", 7}, STATUS},
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (str_eq(name, names[i].name))
            return names[i].what;
    }
    return 0;
}

static bool wanted(const struct h2_head *b, enum pseudo what)
{
    switch ((enum h2_head_kind)b->kind) {
    case H2_REQUEST:
        return what != 0 && what != STATUS;
    case H2_RESPONSE:
        return what == STATUS;
    case H2_TRAILERS:
        break;
    }
    return false;
}

/* Bytes only; which form it must have depends on the method. */
static void path(struct h2_head *b, struct str value)
{
    struct http_head *h = b->out;
    const char *mark = value.len > 0 ? memchr(value.p, '?', value.len) : NULL;
    size_t path_len = mark != NULL ? (size_t)(mark - value.p) : value.len;
    struct str query = {value.p + path_len + 1, value.len - path_len - 1};

    if (value.len > b->limits.target_bytes) {
        refuse(b, H1_TARGET_TOO_LONG);
        return;
    }
    if (value.len == 0) { /* malformed, as one that is missing (RFC 9113 section 8.3.1) */
        refuse(b, H1_BAD_PSEUDO_FIELD);
        return;
    }
    if (path_len == 0 || !all_of((struct str){value.p, path_len}, BYTE_PATH) ||
        (mark != NULL && !all_of(query, BYTE_QUERY))) {
        refuse(b, H1_BAD_TARGET);
        return;
    }
    h->target = add_text(b, value);
    h->path = (struct http_slice){h->target.at, (uint16_t)path_len};
    h->has_query = mark != NULL;
    if (h->has_query)
        h->query =
            (struct http_slice){(uint16_t)(h->target.at + path_len + 1), (uint16_t)query.len};
}

static void authority(struct h2_head *b, struct str value)
{
    struct str host, port;

    if (!uri_authority(value, &host, &port)) {
        refuse(b, H1_BAD_HOST);
        return;
    }
    struct http_field *f = add_line(b, STR("host"), value, HTTP_HOST);
    if (f != NULL)
        b->out->authority = f->value;
}

/* Three digits, 100 to 599; 101 is of HTTP/1 alone (RFC 9113 section 8.6). */
static void status(struct h2_head *b, struct str value)
{
    uint64_t n;

    if (value.len != 3 || str_u64(value, 599, &n) != 0 || n < 100 || n == 101) {
        refuse(b, H1_BAD_STATUS);
        return;
    }
    b->out->status = (uint16_t)n;
}

static void pseudo_field(struct h2_head *b, struct str name, struct str value)
{
    enum pseudo what = pseudo_of(name);

    if (!wanted(b, what) || (b->pseudo & what) != 0 || b->fields_begun) {
        refuse(b, H1_BAD_PSEUDO_FIELD);
        return;
    }
    b->pseudo |= (uint8_t)what;
    switch (what) {
    case METHOD:
        if (value.len > METHOD_MAX || !http_is_token(value))
            refuse(b, H1_BAD_METHOD);
        else
            b->out->method_text = add_text(b, value);
        break;
    case SCHEME: /* what we speak (RFC 9113 section 8.3.1 knows others, for gateways) */
        if (str_eq_nocase(value, STR("http")) || str_eq_nocase(value, STR("https")))
            b->scheme = add_text(b, value);
        else
            refuse(b, H1_BAD_TARGET);
        break;
    case AUTHORITY:
        authority(b, value);
        break;
    case PATH:
        path(b, value);
        break;
    case PROTOCOL:
        if (!http_is_token(value))
            refuse(b, H1_BAD_FIELD_VALUE);
        else
            b->protocol = add_text(b, value);
        break;
    case STATUS:
        status(b, value);
        break;
    }
}

/* ---- fields ---- */

/* RFC 9113 section 8.2.2. */
static bool is_of_connection(enum http_field_id id, struct str value)
{
    switch (id) {
    case HTTP_CONNECTION:
    case HTTP_KEEP_ALIVE:
    case HTTP_PROXY_CONNECTION:
    case HTTP_TRANSFER_ENCODING:
    case HTTP_UPGRADE:
        return true;
    case HTTP_TE:
        return !str_eq_nocase(value, STR("trailers"));
    default:
        return false;
    }
}

/* Joins it to the Cookie field that stands right before; false: there is none. */
static bool join_crumb(struct h2_head *b, struct str value)
{
    struct http_head *h = b->out;
    struct http_field *last = h->n_fields > 0 ? &h->fields[h->n_fields - 1] : NULL;

    if (last == NULL || last->id != HTTP_COOKIE)
        return false;
    int r = http_head_reserve(h, b->arena, value.len + 2);
    if (r != 0) {
        refuse_room(b, r);
        return true;
    }
    last = &h->fields[h->n_fields - 1]; /* they may have moved */
    h->used -= 2;                       /* its CRLF */
    http_head_append(h, STR(CRUMB_JOIN));
    http_head_append(h, value);
    last->value.len = (uint16_t)(last->value.len + 2 + value.len);
    http_head_append(h, STR("\r\n"));
    return true;
}

/* One more Host says what is known already, or is refused. */
static void second_host(struct h2_head *b, struct str value)
{
    struct str host, port;
    struct str otherwise = str_eq_nocase(http_str(b->out, b->scheme), STR("https")) ? STR("443")
                           : b->scheme.len > 0                                      ? STR("80")
                                                                                    : STR("");

    if (b->once & H1_BIT(HTTP_HOST))
        refuse(b, H1_REPEATED_HOST);
    else if (!uri_authority(value, &host, &port))
        refuse(b, H1_BAD_HOST);
    else if (!h1_same_authority(b->out, host, port, otherwise))
        refuse(b, H1_HOST_MISMATCH);
}

static void host(struct h2_head *b, struct str value)
{
    if (b->out->authority.len > 0)
        second_host(b, value);
    else
        authority(b, value);
}

static void field(struct h2_head *b, struct str name, struct str value)
{
    if (name.len > NAME_MAX) {
        refuse(b, H1_HEAD_TOO_LARGE);
        return;
    }
    if (!all_of(name, BYTE_NAME)) {
        refuse(b, H1_BAD_FIELD_NAME);
        return;
    }
    if (!is_value(value)) {
        refuse(b, H1_BAD_FIELD_VALUE);
        return;
    }
    enum http_field_id id = http_field_id_of(name.p, name.len);
    if (is_of_connection(id, value)) {
        refuse(b, H1_CONNECTION_FIELD);
        return;
    }
    if (id == HTTP_HOST && b->kind == H2_REQUEST)
        host(b, value);
    else if (id != HTTP_COOKIE || !join_crumb(b, value))
        add_line(b, name, value, id);
    b->again |= b->once & H1_BIT(id);
    b->once |= H1_BIT(id);
    b->out->te_trailers |= id == HTTP_TE;
}

void h2_head_field(struct h2_head *b, struct str name, struct str value)
{
    uint64_t bytes = (uint64_t)b->bytes + name.len + value.len + FIELD_OVERHEAD;

    b->bytes = bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
    if (b->result != H1_MORE)
        return;
    if (b->bytes > b->limits.head_bytes) {
        refuse(b, H1_HEAD_TOO_LARGE);
    } else if (name.len == 0) {
        refuse(b, H1_BAD_FIELD_NAME);
    } else if (name.p[0] == ':') {
        pseudo_field(b, name, value);
    } else {
        b->fields_begun = true;
        if (b->out->n_fields >= b->limits.fields)
            refuse(b, H1_TOO_MANY_FIELDS);
        else
            field(b, name, value);
    }
}

/* ---- the head as a whole ---- */

/* Crumbs that others stood between. */
static void join_cookies(struct h2_head *b)
{
    struct http_head *h = b->out;
    struct http_field *first = http_find(h, HTTP_COOKIE, NULL);
    size_t len = 0;

    if (first == NULL || http_find(h, HTTP_COOKIE, first) == NULL)
        return;
    for (struct http_field *f = first; f != NULL; f = http_find(h, HTTP_COOKIE, f))
        len += f->value.len + 2;
    int r = http_head_reserve(h, b->arena, sizeof("cookie: \r\n") + len);
    if (r != 0) {
        refuse_room(b, r);
        return;
    }
    uint16_t before = h->n_fields;
    struct http_field *all = &h->fields[h->n_fields];
    all->id = HTTP_COOKIE;
    all->name_len = sizeof("cookie") - 1;
    all->name_at = http_head_append(h, STR("cookie")).at;
    http_head_append(h, STR(": "));
    all->value.at = (uint16_t)h->used;
    for (uint16_t i = 0; i < before; i++) {
        struct http_field *f = &h->fields[i];
        if (f->id != HTTP_COOKIE)
            continue;
        if (h->used > all->value.at)
            http_head_append(h, STR(CRUMB_JOIN));
        http_head_append(h, http_value(h, f));
        http_drop(f);
    }
    all->value.len = (uint16_t)(h->used - all->value.at);
    http_head_append(h, STR("\r\n"));
    h->n_fields++;
}

static enum h1_result length(struct h2_head *b)
{
    const struct h1_seen seen = {b->once, b->again};

    return (b->once & H1_BIT(HTTP_CONTENT_LENGTH)) != 0 ? h1_content_length(b->out, &seen)
                                                        : H1_DONE;
}

/* What a request that encloses nothing, of a method that usually does, says in HTTP/1 (RFC 9110
 * section 8.6). */
static bool says_length_0(const struct http_head *h)
{
    return h->method == HTTP_POST || h->method == HTTP_PUT || h->method == HTTP_PATCH;
}

static enum h1_result request_body(struct h2_head *b, bool end)
{
    struct http_head *h = b->out;
    enum h1_result r = length(b);

    if (r != H1_DONE)
        return r;
    if (end && h->content_length > 0) /* RFC 9113 section 8.1.1 */
        return H1_BAD_CONTENT_LENGTH;
    if (h->has_content_length || (end && says_length_0(h)))
        h->body = HTTP_BODY_LENGTH;
    else
        h->body = end ? HTTP_BODY_NONE : HTTP_BODY_CHUNKED;
    return H1_DONE;
}

/* RFC 8441: as HTTP/1 says it. */
static enum h1_result websocket(struct h2_head *b)
{
    struct http_head *h = b->out;

    if (!str_eq_nocase(http_str(h, b->protocol), STR("websocket")))
        return H1_UNKNOWN_PROTOCOL;
    h->method_text = add_text(b, STR("GET"));
    h->method = HTTP_GET;
    h->upgrade = true;
    add_line(b, STR("upgrade"), STR("websocket"), HTTP_UPGRADE);
    http_drop_id(h, HTTP_CONTENT_LENGTH);
    h->body = HTTP_BODY_NONE;
    return (enum h1_result)b->result == H1_MORE ? H1_DONE : (enum h1_result)b->result;
}

/* RFC 9113 sections 8.3.1 and 8.5: which pseudo-header fields, and the form of the target. */
static enum h1_result target(struct h2_head *b)
{
    struct http_head *h = b->out;
    bool connect = h->method == HTTP_CONNECT && (b->pseudo & PROTOCOL) == 0;
    unsigned must = connect ? METHOD : METHOD | SCHEME | PATH;

    if ((b->pseudo & ~AUTHORITY & ~PROTOCOL) != must)
        return H1_BAD_PSEUDO_FIELD;
    if ((b->pseudo & PROTOCOL) != 0 && h->method != HTTP_CONNECT)
        return H1_BAD_PSEUDO_FIELD;
    if (h->authority.len == 0)
        return H1_NO_HOST;
    if (connect) {
        struct str name, port;
        if (!uri_authority(http_str(h, h->authority), &name, &port) || port.len == 0)
            return H1_BAD_TARGET;
        h->form = HTTP_FORM_AUTHORITY;
        h->target = h->authority;
        return H1_DONE;
    }
    if (h->mem[h->target.at] == '/')
        return H1_DONE;
    h->form = HTTP_FORM_ASTERISK;
    return h->method == HTTP_OPTIONS && str_eq(http_str(h, h->target), STR("*")) ? H1_DONE
                                                                                 : H1_BAD_TARGET;
}

static enum h1_result request_end(struct h2_head *b, bool end)
{
    struct http_head *h = b->out;
    enum h1_result r;

    h->method = (uint8_t)http_method_of(http_str(h, h->method_text));
    if ((r = target(b)) != H1_DONE || (r = request_body(b, end)) != H1_DONE)
        return r;
    if ((b->once & H1_BIT(HTTP_EXPECT)) != 0 && (r = h1_expect(h)) != H1_DONE)
        return r;
    join_cookies(b);
    if (b->result != H1_MORE)
        return (enum h1_result)b->result;
    return (b->pseudo & PROTOCOL) != 0 ? websocket(b) : H1_DONE;
}

static enum h1_result response_end(struct h2_head *b, bool end, enum http_method to)
{
    struct http_head *h = b->out;

    if (b->pseudo != STATUS)
        return H1_BAD_PSEUDO_FIELD;
    if (h->status < 200 && end)
        return H1_BAD_STATUS;
    enum h1_result r = length(b);
    if (r != H1_DONE)
        return r;
    h->reason = add_text(b, str_of(http_reason(h->status)));
    if (b->result != H1_MORE)
        return (enum h1_result)b->result;
    if (h1_has_no_body(h, to)) {
        h->body = HTTP_BODY_NONE;
        if (h->status < 200 || h->status == 204)
            h->has_content_length = false;
        return H1_DONE;
    }
    if (end && h->content_length > 0)
        return H1_BAD_CONTENT_LENGTH;
    h->body = end || h->has_content_length ? HTTP_BODY_LENGTH : HTTP_BODY_CHUNKED;
    return H1_DONE;
}

enum h1_result h2_head_end(struct h2_head *b, bool end, enum http_method to)
{
    if (b->result != H1_MORE)
        return (enum h1_result)b->result;
    switch ((enum h2_head_kind)b->kind) {
    case H2_REQUEST:
        b->result = (uint8_t)request_end(b, end);
        break;
    case H2_RESPONSE:
        b->result = (uint8_t)response_end(b, end, to);
        break;
    case H2_TRAILERS: /* they end the stream (RFC 9113 section 8.1) */
        h1_drop_forbidden_trailers(b->out);
        b->result = end ? H1_DONE : H1_BAD_PSEUDO_FIELD;
        break;
    }
    return (enum h1_result)b->result;
}

/* ---- back ---- */

static nghttp2_nv nv_of(struct str name, struct str value, uint8_t flags)
{
    return (nghttp2_nv){
        .name = (uint8_t *)(uintptr_t)name.p,
        .value = (uint8_t *)(uintptr_t)value.p,
        .namelen = name.len,
        .valuelen = value.len,
        .flags = (uint8_t)(NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE | flags),
    };
}

/* What may not be guessed byte by byte through a shared table. */
static uint8_t flags_of(const struct http_head *h, const struct http_field *f)
{
    switch ((enum http_field_id)f->id) {
    case HTTP_AUTHORIZATION:
    case HTTP_SET_COOKIE:
        return NGHTTP2_NV_FLAG_NO_INDEX;
    case HTTP_COOKIE:
        return f->value.len < COOKIE_SHORT ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE;
    case HTTP_OTHER:
        return str_eq_nocase(http_name(h, f), STR("proxy-authorization")) ? NGHTTP2_NV_FLAG_NO_INDEX
                                                                          : NGHTTP2_NV_FLAG_NONE;
    default:
        return NGHTTP2_NV_FLAG_NONE;
    }
}

static bool is_for_one_hop(unsigned id)
{
    static const uint64_t ids =
        H1_BIT(HTTP_DROPPED) | H1_BIT(HTTP_CONNECTION) | H1_BIT(HTTP_KEEP_ALIVE) |
        H1_BIT(HTTP_PROXY_CONNECTION) | H1_BIT(HTTP_TRANSFER_ENCODING) | H1_BIT(HTTP_UPGRADE) |
        H1_BIT(HTTP_HTTP2_SETTINGS) | H1_BIT(HTTP_TE) | H1_BIT(HTTP_CONTENT_LENGTH);
    return (H1_BIT(id) & ids) != 0;
}

static bool is_of_handshake(struct str name) /* of HTTP/1's WebSocket; RFC 8441 section 5 */
{
    return name.len >= 17 && (str_eq_nocase(name, STR("sec-websocket-key")) ||
                              str_eq_nocase(name, STR("sec-websocket-accept")));
}

static void lower(char *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        p[i] = byte_lower(p[i]);
}

static uint32_t put_fields(struct http_head *h, enum http_field_id but, bool upgraded,
                           nghttp2_nv *nv, uint32_t n)
{
    for (struct http_field *f = h->fields, *last = f + h->n_fields; f < last; f++) {
        if (is_for_one_hop(f->id) || f->id == but)
            continue;
        if (upgraded && is_of_handshake(http_name(h, f)))
            continue;
        lower(h->mem + f->name_at, f->name_len);
        nv[n++] = nv_of(http_name(h, f), http_value(h, f), flags_of(h, f));
    }
    return n;
}

static uint32_t put_length(const uint64_t *value, struct h2_digits *digits, nghttp2_nv *nv,
                           uint32_t n)
{
    if (value == NULL)
        return n;
    size_t len = str_put_u64(*value, digits->length);
    nv[n] = nv_of(STR("content-length"), (struct str){digits->length, len}, 0);
    return n + 1;
}

uint32_t h2_write_request(struct http_head *h, const struct h2_request *r,
                          const uint64_t *length_of, struct h2_digits *digits, nghttp2_nv *nv)
{
    uint32_t n = 0;

    nv[n++] = nv_of(STR(":method"), r->websocket ? STR("CONNECT") : r->method, 0);
    if (r->websocket)
        nv[n++] = nv_of(STR(":protocol"), STR("websocket"), 0);
    nv[n++] = nv_of(STR(":scheme"), r->scheme, 0);
    if (r->authority.len > 0)
        nv[n++] = nv_of(STR(":authority"), r->authority, 0);
    nv[n++] = nv_of(STR(":path"), r->path, 0);
    n = put_fields(h, HTTP_HOST, r->websocket, nv, n);
    n = put_length(length_of, digits, nv, n);
    if (r->te_trailers)
        nv[n++] = nv_of(STR("te"), STR("trailers"), 0);
    return n;
}

uint32_t h2_write_response(struct http_head *h, const uint64_t *length_of, struct h2_digits *digits,
                           nghttp2_nv *nv)
{
    unsigned code = h->status == 101 ? 200 : h->status;

    sl_assert(code >= 100 && code <= 999);
    digits->status[0] = (char)('0' + code / 100);
    digits->status[1] = (char)('0' + code / 10 % 10);
    digits->status[2] = (char)('0' + code % 10);
    nv[0] = nv_of(STR(":status"), (struct str){digits->status, 3}, 0);
    uint32_t n = put_fields(h, HTTP_DROPPED, h->status == 101, nv, 1);
    return put_length(length_of, digits, nv, n);
}

uint32_t h2_write_trailers(struct http_head *h, nghttp2_nv *nv)
{
    return put_fields(h, HTTP_DROPPED, false, nv, 0);
}
