/* msg.c - see msg.h */
#include "lb/http/msg.h"

#include "lb/base/arena.h"
#include "lb/http/byte_class.h"

#include <errno.h>

/* What a copy has room for beyond what it holds: what a proxy usually adds (X-Forwarded-*, request
 * id, traceparent). A usual request, copied, still fits half an arena chunk. */
#define COPY_SPARE_BYTES  320
#define COPY_SPARE_FIELDS 12

/* ---- names of fields ---- */

#define NAME_MAX 20

struct known_name {
    uint8_t len;
    char name[NAME_MAX];
};

#define NAME(s)                                                                                    \
    {                                                                                              \
        sizeof(s) - 1, s                                                                           \
    }
static const struct known_name known[HTTP_FIELD_IDS] = {
    [HTTP_HOST] = NAME("host"),
    [HTTP_CONNECTION] = NAME("connection"),
    [HTTP_CONTENT_LENGTH] = NAME("content-length"),
    [HTTP_TRANSFER_ENCODING] = NAME("transfer-encoding"),
    [HTTP_TE] = NAME("te"),
    [HTTP_TRAILER] = NAME("trailer"),
    [HTTP_UPGRADE] = NAME("upgrade"),
    [HTTP_KEEP_ALIVE] = NAME("keep-alive"),
    [HTTP_PROXY_CONNECTION] = NAME("proxy-connection"),
    [HTTP_HTTP2_SETTINGS] = NAME("http2-settings"),
    [HTTP_EXPECT] = NAME("expect"),
    [HTTP_COOKIE] = NAME("cookie"),
    [HTTP_SET_COOKIE] = NAME("set-cookie"),
    [HTTP_AUTHORIZATION] = NAME("authorization"),
    [HTTP_USER_AGENT] = NAME("user-agent"),
    [HTTP_REFERER] = NAME("referer"),
    [HTTP_FORWARDED] = NAME("forwarded"),
    [HTTP_X_FORWARDED_FOR] = NAME("x-forwarded-for"),
    [HTTP_X_FORWARDED_PROTO] = NAME("x-forwarded-proto"),
    [HTTP_X_FORWARDED_HOST] = NAME("x-forwarded-host"),
    [HTTP_X_FORWARDED_PORT] = NAME("x-forwarded-port"),
    [HTTP_X_REQUEST_ID] = NAME("x-request-id"),
    [HTTP_TRACEPARENT] = NAME("traceparent"),
    [HTTP_DATE] = NAME("date"),
    [HTTP_SERVER] = NAME("server"),
    [HTTP_CONTENT_TYPE] = NAME("content-type"),
    [HTTP_CONTENT_ENCODING] = NAME("content-encoding"),
    [HTTP_ACCEPT_ENCODING] = NAME("accept-encoding"),
    [HTTP_CACHE_CONTROL] = NAME("cache-control"),
    [HTTP_VARY] = NAME("vary"),
    [HTTP_ETAG] = NAME("etag"),
    [HTTP_LOCATION] = NAME("location"),
    [HTTP_RANGE] = NAME("range"),
    [HTTP_IF_MODIFIED_SINCE] = NAME("if-modified-since"),
    [HTTP_IF_NONE_MATCH] = NAME("if-none-match"),
    [HTTP_PRIORITY] = NAME("priority"),
};
static_assert(HTTP_FIELD_IDS <= 64, "sets of ids are 64-bit words");

/* A perfect hash of the names above; test_msg.c says when a new name collides. The slot of a name:
 * length + first + 57 * middle + 60 * last but one byte, modulo 64. */
static const uint8_t slots[64] = {
    [0] = HTTP_X_FORWARDED_HOST,
    [2] = HTTP_PROXY_CONNECTION,
    [3] = HTTP_CONTENT_TYPE,
    [4] = HTTP_X_FORWARDED_PORT,
    [8] = HTTP_TRAILER,
    [10] = HTTP_PRIORITY,
    [12] = HTTP_LOCATION,
    [14] = HTTP_UPGRADE,
    [15] = HTTP_IF_MODIFIED_SINCE,
    [16] = HTTP_SET_COOKIE,
    [18] = HTTP_TRANSFER_ENCODING,
    [19] = HTTP_AUTHORIZATION,
    [20] = HTTP_VARY,
    [23] = HTTP_HTTP2_SETTINGS,
    [24] = HTTP_COOKIE,
    [25] = HTTP_RANGE,
    [28] = HTTP_EXPECT,
    [29] = HTTP_X_REQUEST_ID,
    [32] = HTTP_USER_AGENT,
    [34] = HTTP_REFERER,
    [35] = HTTP_TE,
    [38] = HTTP_CONTENT_LENGTH,
    [39] = HTTP_IF_NONE_MATCH,
    [43] = HTTP_SERVER,
    [44] = HTTP_DATE,
    [45] = HTTP_X_FORWARDED_FOR,
    [52] = HTTP_FORWARDED,
    [53] = HTTP_ACCEPT_ENCODING,
    [54] = HTTP_KEEP_ALIVE,
    [55] = HTTP_TRACEPARENT,
    [56] = HTTP_CONTENT_ENCODING,
    [59] = HTTP_HOST,
    [60] = HTTP_CONNECTION,
    [61] = HTTP_X_FORWARDED_PROTO,
    [62] = HTTP_ETAG,
    [63] = HTTP_CACHE_CONTROL,
};

static unsigned slot_of(const char *name, size_t len)
{
    unsigned first = (uint8_t)name[0] | 0x20u;
    unsigned middle = (uint8_t)name[len / 2] | 0x20u;
    unsigned last = (uint8_t)name[len - 2] | 0x20u;
    return ((unsigned)len + first + 57 * middle + 60 * last) & 63;
}

static uint64_t word_at(const char *p)
{
    uint64_t w;
    memcpy(&w, p, sizeof(w));
    return w;
}

/* Names consist of letters, digits and hyphens; of these, in lower case, just the letters have
 * 0x40. So 0x20 is added to a byte only where a letter is wanted, and no control byte passes for a
 * digit or a hyphen. */
static bool is_word(const char *any_case, const char *low)
{
    uint64_t want = word_at(low);
    uint64_t fold = (want & 0x4040404040404040u) >> 1;
    return (word_at(any_case) | fold) == want;
}

/* Whether `name`, in any case, is `low`, which is in lower case. */
static bool is_name(const char *name, const char *low, size_t len)
{
    size_t i = 0;
    if (len >= 8) {
        for (; i + 8 < len; i += 8) {
            if (!is_word(name + i, low + i))
                return false;
        }
        return is_word(name + len - 8, low + len - 8);
    }
    for (; i < len; i++) {
        if (byte_lower(name[i]) != low[i])
            return false;
    }
    return true;
}

enum http_field_id http_field_id_of(const char *name, size_t len)
{
    if (len < 2 || len > NAME_MAX)
        return HTTP_OTHER;
    enum http_field_id id = slots[slot_of(name, len)];
    if (known[id].len != len || !is_name(name, known[id].name, len))
        return HTTP_OTHER;
    return id;
}

/* ---- methods ---- */

static const struct {
    struct str text;
    bool safe, idempotent;
} methods[] = {
    [HTTP_OTHER_METHOD] = {{"", 0}, false, false},   [HTTP_GET] = {{"GET", 3}, true, true},
    [HTTP_HEAD] = {{"HEAD", 4}, true, true},         [HTTP_POST] = {{"POST", 4}, false, false},
    [HTTP_PUT] = {{"PUT", 3}, false, true},          [HTTP_DELETE] = {{"DELETE", 6}, false, true},
    [HTTP_CONNECT] = {{"CONNECT", 7}, false, false}, [HTTP_OPTIONS] = {{"OPTIONS", 7}, true, true},
    [HTTP_TRACE] = {{"TRACE", 5}, true, true},       [HTTP_PATCH] = {{"PATCH", 5}, false, false},
};

bool http_method_is_idempotent(enum http_method m)
{
    return m < ARRAY_LEN(methods) && methods[m].idempotent;
}

bool http_method_is_safe(enum http_method m)
{
    return m < ARRAY_LEN(methods) && methods[m].safe;
}

enum http_method http_method_of(struct str text)
{
    for (enum http_method m = HTTP_GET; m < (int)ARRAY_LEN(methods); m++) {
        if (str_eq(text, methods[m].text))
            return m;
    }
    return HTTP_OTHER_METHOD;
}

/* ---- finding and dropping ---- */

static struct http_field *first_after(const struct http_head *h, const struct http_field *after)
{
    return after == NULL ? h->fields : h->fields + (after - h->fields) + 1;
}

struct http_field *http_find(const struct http_head *h, enum http_field_id id,
                             const struct http_field *after)
{
    if (h->n_fields == 0) /* then there may be no array either */
        return NULL;
    struct http_field *end = h->fields + h->n_fields;
    for (struct http_field *f = first_after(h, after); f < end; f++) {
        if (f->id == id)
            return f;
    }
    return NULL;
}

struct http_field *http_find_name(const struct http_head *h, struct str name,
                                  const struct http_field *after)
{
    enum http_field_id id = http_field_id_of(name.p, name.len);
    struct http_field *f = http_find(h, id, after);
    if (id != HTTP_OTHER)
        return f;
    while (f != NULL && !str_eq_nocase(http_name(h, f), name))
        f = http_find(h, id, f);
    return f;
}

void http_drop_id(struct http_head *h, enum http_field_id id)
{
    for (struct http_field *f = NULL; (f = http_find(h, id, f)) != NULL;)
        http_drop(f);
}

void http_drop_name(struct http_head *h, struct str name)
{
    for (struct http_field *f = NULL; (f = http_find_name(h, name, f)) != NULL;)
        http_drop(f);
}

/* ---- copies and additions ---- */

int http_head_copy(const struct http_head *from, struct arena *a, struct http_head *out)
{
    uint32_t cap = from->used + COPY_SPARE_BYTES;
    if (cap > HTTP_HEAD_BYTES_MAX)
        cap = HTTP_HEAD_BYTES_MAX;
    uint32_t max_fields = from->n_fields + (uint32_t)COPY_SPARE_FIELDS;
    if (max_fields > UINT16_MAX)
        max_fields = UINT16_MAX;
    char *mem = arena_alloc(a, cap);
    struct http_field *fields = arena_alloc(a, max_fields * sizeof(*fields));

    if (mem == NULL || fields == NULL)
        return -ENOMEM;
    if (from->used > 0)
        memcpy(mem, from->mem, from->used);
    if (from->n_fields > 0)
        memcpy(fields, from->fields, from->n_fields * sizeof(*fields));
    *out = *from;
    out->mem = mem;
    out->cap = cap;
    out->fields = fields;
    out->max_fields = (uint16_t)max_fields;
    return 0;
}

/* The old memory stays readable: text that is to be added may be a slice of it. */
static int reserve_text(struct http_head *h, struct arena *a, size_t len)
{
    if (len > HTTP_HEAD_BYTES_MAX - h->used)
        return -EMSGSIZE;
    if (len <= h->cap - h->used)
        return 0;
    uint32_t cap = 2 * (h->used + (uint32_t)len);
    if (cap > HTTP_HEAD_BYTES_MAX)
        cap = HTTP_HEAD_BYTES_MAX;
    char *mem = arena_alloc(a, cap);
    if (mem == NULL)
        return -ENOMEM;
    if (h->used > 0)
        memcpy(mem, h->mem, h->used);
    h->mem = mem;
    h->cap = cap;
    return 0;
}

static int reserve_field(struct http_head *h, struct arena *a)
{
    if (h->n_fields < h->max_fields)
        return 0;
    if (h->n_fields == UINT16_MAX)
        return -EMSGSIZE;
    uint32_t max = h->n_fields + h->n_fields / 2u + COPY_SPARE_FIELDS;
    if (max > UINT16_MAX)
        max = UINT16_MAX;
    struct http_field *fields = arena_alloc(a, max * sizeof(*fields));
    if (fields == NULL)
        return -ENOMEM;
    if (h->n_fields > 0)
        memcpy(fields, h->fields, h->n_fields * sizeof(*fields));
    h->fields = fields;
    h->max_fields = (uint16_t)max;
    return 0;
}

int http_head_reserve(struct http_head *h, struct arena *a, size_t text)
{
    int r = reserve_field(h, a);
    return r == 0 ? reserve_text(h, a, text) : r;
}

struct http_slice http_head_append(struct http_head *h, struct str text)
{
    struct http_slice s = {(uint16_t)h->used, (uint16_t)text.len};
    if (text.len > 0)
        memcpy(h->mem + h->used, text.p, text.len);
    h->used += (uint32_t)text.len;
    return s;
}

int http_head_text(struct http_head *h, struct arena *a, struct str text, struct http_slice *out)
{
    int r = reserve_text(h, a, text.len);
    if (r == 0)
        *out = http_head_append(h, text);
    return r;
}

static int add(struct http_head *h, struct arena *a, enum http_field_id id, struct str name,
               struct str value)
{
    if (name.len > UINT8_MAX || value.len > HTTP_HEAD_BYTES_MAX)
        return -EMSGSIZE;
    int r = http_head_reserve(h, a, name.len + value.len);
    if (r != 0)
        return r;
    struct http_field *f = &h->fields[h->n_fields++];
    f->id = (uint8_t)id;
    f->name_len = (uint8_t)name.len;
    f->name_at = http_head_append(h, name).at;
    f->value = http_head_append(h, value);
    return 0;
}

int http_head_add(struct http_head *h, struct arena *a, struct str name, struct str value)
{
    return add(h, a, http_field_id_of(name.p, name.len), name, value);
}

/* Of the first `n` fields; name may be a slice of one of them. */
static void drop_among(struct http_head *h, uint16_t n, enum http_field_id id, struct str name)
{
    for (struct http_field *f = h->fields; f < h->fields + n; f++) {
        if (f->id == id && (id != HTTP_OTHER || str_eq_nocase(http_name(h, f), name)))
            http_drop(f);
    }
}

int http_head_set_id(struct http_head *h, struct arena *a, enum http_field_id id, struct str name,
                     struct str value)
{
    int r = add(h, a, id, name, value);
    if (r == 0)
        drop_among(h, (uint16_t)(h->n_fields - 1), id, name);
    return r;
}

int http_head_set(struct http_head *h, struct arena *a, struct str name, struct str value)
{
    return http_head_set_id(h, a, http_field_id_of(name.p, name.len), name, value);
}

/* ---- hop by hop ---- */

#define BIT(id) (UINT64_C(1) << (id))
#define HOP_BY_HOP                                                                                 \
    (BIT(HTTP_CONNECTION) | BIT(HTTP_KEEP_ALIVE) | BIT(HTTP_PROXY_CONNECTION) | BIT(HTTP_TE) |     \
     BIT(HTTP_TRANSFER_ENCODING) | BIT(HTTP_HTTP2_SETTINGS) | BIT(HTTP_CONTENT_LENGTH))

/* What Connection names is for this hop alone (RFC 9110 section 7.6.1). But a sender must not name
 * fields that are for everybody on the way, and one that does takes credentials, the client's
 * address or the framing away from who decides by them: of the fields with an id only Trailer goes,
 * and none that describes content. */
static void drop_named(struct http_head *h, struct str connection)
{
    struct str name;
    while (http_list_next(&connection, &name)) {
        enum http_field_id id = http_field_id_of(name.p, name.len);
        if (id != HTTP_OTHER && id != HTTP_TRAILER)
            continue;
        if (name.len >= 8 && str_eq_nocase((struct str){name.p, 8}, STR("content-")))
            continue;
        http_drop_name(h, name);
    }
}

/* Takes h2c out of an Upgrade field; false when nothing is left. The client did not ask us for it,
 * and a backend that went over to HTTP/2 would speak to a parser of HTTP/1. */
static bool upgrade_without_h2c(struct http_head *h, struct http_field *f)
{
    struct str rest = http_value(h, f), element;
    char *start = h->mem + f->value.at, *to = start;

    if (!http_list_has(rest, STR("h2c")))
        return rest.len > 0;
    while (http_list_next(&rest, &element)) {
        if (str_eq_nocase(element, STR("h2c")))
            continue;
        if (to > start) {
            *to++ = ',';
        }
        memmove(to, element.p, element.len);
        to += element.len;
    }
    f->value.len = (uint16_t)(to - start);
    return to > start;
}

void http_strip_hop_by_hop(struct http_head *h, bool keep_upgrade)
{
    bool upgrade = false;
    for (uint16_t i = 0; i < h->n_fields; i++) {
        struct http_field *f = &h->fields[i];
        if (f->id == HTTP_CONNECTION)
            drop_named(h, http_value(h, f));
        if (BIT(f->id) & HOP_BY_HOP)
            http_drop(f);
        if (f->id != HTTP_UPGRADE)
            continue;
        if (keep_upgrade && upgrade_without_h2c(h, f))
            upgrade = true;
        else
            http_drop(f);
    }
    h->upgrade = h->upgrade && upgrade;
}

/* ---- values ---- */

bool str_eq_nocase(struct str a, struct str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (byte_lower(a.p[i]) != byte_lower(b.p[i]))
            return false;
    }
    return true;
}

/* The end of an element: its comma, if that is in no quoted string (RFC 9110 section 5.6.4). */
static size_t element_len(struct str s)
{
    bool quoted = false;
    size_t i = 0;
    for (; i < s.len; i++) {
        if (quoted && s.p[i] == '\\' && i + 1 < s.len)
            i++;
        else if (s.p[i] == '"')
            quoted = !quoted;
        else if (s.p[i] == ',' && !quoted)
            break;
    }
    return i;
}

bool http_list_next(struct str *rest, struct str *out_element)
{
    while (rest->len > 0) {
        size_t len = element_len(*rest);
        struct str element = str_trim((struct str){rest->p, len});
        size_t used = len < rest->len ? len + 1 : len;
        rest->p += used;
        rest->len -= used;
        if (element.len > 0) {
            *out_element = element;
            return true;
        }
    }
    return false;
}

bool http_list_has(struct str list, struct str token)
{
    struct str element;
    while (http_list_next(&list, &element)) {
        if (str_eq_nocase(element, token))
            return true;
    }
    return false;
}

bool http_cookie_find(struct str cookies, struct str name, struct str *out_value)
{
    while (cookies.len > 0) {
        const char *semicolon = memchr(cookies.p, ';', cookies.len);
        size_t len = semicolon != NULL ? (size_t)(semicolon - cookies.p) : cookies.len;
        struct str pair = str_trim((struct str){cookies.p, len});
        size_t used = semicolon != NULL ? len + 1 : len;
        cookies.p += used;
        cookies.len -= used;
        if (pair.len > name.len && pair.p[name.len] == '=' && str_starts(pair, name)) {
            *out_value = (struct str){pair.p + name.len + 1, pair.len - name.len - 1};
            return true;
        }
    }
    return false;
}

static bool all_of(struct str s, unsigned class)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!byte_is(s.p[i], class))
            return false;
    }
    return true;
}

bool http_is_token(struct str s)
{
    return s.len > 0 && all_of(s, BYTE_TOKEN);
}

bool http_is_field_value(struct str s)
{
    return all_of(s, BYTE_VALUE);
}

const char *http_reason(unsigned status)
{
    static const char *const reasons[] = {
        [100] = "Continue",
        [101] = "Switching Protocols",
        [102] = "Processing",
        [103] = "Early Hints",
        [200] = "OK",
        [201] = "Created",
        [202] = "Accepted",
        [203] = "Non-Authoritative Information",
        [204] = "No Content",
        [205] = "Reset Content",
        [206] = "Partial Content",
        [207] = "Multi-Status",
        [208] = "Already Reported",
        [226] = "IM Used",
        [300] = "Multiple Choices",
        [301] = "Moved Permanently",
        [302] = "Found",
        [303] = "See Other",
        [304] = "Not Modified",
        [305] = "Use Proxy",
        [307] = "Temporary Redirect",
        [308] = "Permanent Redirect",
        [400] = "Bad Request",
        [401] = "Unauthorized",
        [402] = "Payment Required",
        [403] = "Forbidden",
        [404] = "Not Found",
        [405] = "Method Not Allowed",
        [406] = "Not Acceptable",
        [407] = "Proxy Authentication Required",
        [408] = "Request Timeout",
        [409] = "Conflict",
        [410] = "Gone",
        [411] = "Length Required",
        [412] = "Precondition Failed",
        [413] = "Content Too Large",
        [414] = "URI Too Long",
        [415] = "Unsupported Media Type",
        [416] = "Range Not Satisfiable",
        [417] = "Expectation Failed",
        [421] = "Misdirected Request",
        [422] = "Unprocessable Content",
        [423] = "Locked",
        [424] = "Failed Dependency",
        [425] = "Too Early",
        [426] = "Upgrade Required",
        [428] = "Precondition Required",
        [429] = "Too Many Requests",
        [431] = "Request Header Fields Too Large",
        [451] = "Unavailable For Legal Reasons",
        [500] = "Internal Server Error",
        [501] = "Not Implemented",
        [502] = "Bad Gateway",
        [503] = "Service Unavailable",
        [504] = "Gateway Timeout",
        [505] = "HTTP Version Not Supported",
        [506] = "Variant Also Negotiates",
        [507] = "Insufficient Storage",
        [508] = "Loop Detected",
        [511] = "Network Authentication Required",
    };
    const char *reason = status < ARRAY_LEN(reasons) ? reasons[status] : NULL;
    return reason != NULL ? reason : "";
}
