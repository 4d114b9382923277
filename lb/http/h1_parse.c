/* h1_parse.c - see h1_parse.h: from bytes to lines, one pass, a state per place where the bytes may
 * end. What lines mean together is h1_rules.c.
 *
 * A verdict never depends on how the bytes arrive: each state looks at bytes one after the other,
 * and the first that is wrong decides. Rules about the head as a whole come after its last byte.
 * When a head came in pieces, the passes over the pieces only find its end (or what is wrong); the
 * head is then parsed once more as a whole, so nothing but struct h1_parser has to live between
 * calls.
 *
 * The states are written once, for any set of scanners (h1_scan.h), and compiled for each. */
#include "lb/http/h1_parse.h"

#include "lb/http/byte_class.h"
#include "lb/http/h1_priv.h"
#include "lb/http/h1_scan.h"

#include <stdatomic.h>

#define METHOD_MAX      32
#define NAME_MAX        255
#define EMPTY_LINES_MAX 2 /* before a request */

static_assert(sizeof(struct h1_parser) == 12, "one per connection");

enum kind {
    REQUEST,
    RESPONSE,
    TRAILERS,
};

enum state {
    START, /* 0: a zeroed parser */
    METHOD,
    PATH,
    QUERY,
    VERSION,
    STATUS,
    REASON,
    LINE_START,
    NAME,
    VALUE,
};

/* One call. */
struct run {
    struct h1_parser *p;
    const struct h1_limits *limits;
    struct http_head *out;
    struct h1_seen seen;
    const char *mem;
    uint32_t end; /* bytes that may be looked at */
    uint16_t fields_max;
    uint8_t kind;
    bool at_limit; /* no byte beyond end is acceptable */
    bool bare_lf;
};

/* The bytes end at `at`: go on there with more, in this state. */
static enum h1_result more(struct run *r, enum state state, const char *at)
{
    r->p->state = (uint8_t)state;
    r->p->at = (uint32_t)(at - r->mem);
    if (!r->at_limit)
        return H1_MORE;
    return state == PATH || state == QUERY ? H1_TARGET_TOO_LONG : H1_HEAD_TOO_LARGE;
}

static struct http_slice slice(const struct run *r, const char *from, const char *to)
{
    return (struct http_slice){(uint16_t)(from - r->mem), (uint16_t)(to - from)};
}

/* At the end of a line: steps over it. H1_DONE, H1_MORE (*at unchanged) or a refusal. Only
 * responses may end lines in LF alone, and only where the pool says so (RFC 9112 section 2.2 allows
 * it, but a bare LF is where parsers disagree most). */
static inline enum h1_result line_end(const struct run *r, const char **at,
                                      enum h1_result otherwise)
{
    const char *p = *at, *end = r->mem + r->end;

    if (likely(*p == '\r')) {
        if (p + 1 == end)
            return H1_MORE;
        if (p[1] != '\n')
            return H1_BARE_CR;
        *at = p + 2;
        return H1_DONE;
    }
    if (*p != '\n')
        return otherwise;
    if (!r->bare_lf)
        return H1_BARE_LF;
    *at = p + 1;
    return H1_DONE;
}

/* "HTTP/1.1" byte by byte: the first wrong byte decides (RFC 9112 section 2.3). A minor version
 * above 1 is read as 1.1 (RFC 9110 section 2.5); another major version has another format. */
static enum h1_result version(const struct run *r, const char *p, const char **at)
{
    static const char wanted[] = "HTTP/1.1";
    const char *end = r->mem + r->end;
    bool supported = true;

    if (likely(end - p >= 8 && memcmp(p, wanted, 8) == 0)) {
        r->out->version = 11;
        *at = p + 8;
        return H1_DONE;
    }
    for (int i = 0; i < 8; i++, p++) {
        if (p == end)
            return H1_MORE;
        if (i == 5 || i == 7 ? !byte_is(*p, BYTE_DIGIT) : *p != wanted[i])
            return H1_BAD_VERSION;
        if (i == 5)
            supported = *p == '1';
    }
    if (!supported)
        return H1_VERSION_UNSUPPORTED;
    r->out->version = p[-1] == '0' ? 10 : 11;
    *at = p;
    return H1_DONE;
}

/* ---- the first line ---- */

/* Empty lines before a request line: some clients end a body with a CRLF too many (RFC 9112 section
 * 2.2). */
static enum h1_result skip_empty_lines(struct run *r, const char **at)
{
    const char *end = r->mem + r->end;

    while (*at < end && (**at == '\r' || **at == '\n')) {
        if (r->p->flags == EMPTY_LINES_MAX)
            return H1_BAD_START;
        enum h1_result result = line_end(r, at, H1_BAD_START);
        if (result != H1_DONE)
            return result;
        r->p->flags++;
    }
    return *at == end ? H1_MORE : H1_DONE;
}

static inline __attribute__((always_inline)) enum h1_result request_line(struct run *r,
                                                                         const struct h1_scan *scan,
                                                                         const char **out_at)
{
    const char *mem = r->mem, *end = mem + r->end, *at = *out_at;
    struct http_head *h = r->out;
    enum h1_result result;

    switch ((enum state)r->p->state) {
    case START:
        result = skip_empty_lines(r, &at);
        if (result != H1_DONE)
            return result == H1_MORE ? more(r, START, at) : result;
        if (!byte_is(*at, BYTE_TOKEN))
            return H1_BAD_START;
        r->p->line = (uint32_t)(at - mem);
        /* fall through */
    case METHOD: {
        const char *start = mem + r->p->line;
        at = scan_class(at, end, BYTE_TOKEN); /* short */
        if (at - start > METHOD_MAX)
            return H1_BAD_METHOD;
        if (at == end)
            return more(r, METHOD, at);
        if (*at != ' ')
            return H1_BAD_METHOD;
        h->method_text = slice(r, start, at);
        at++;
        r->p->line = (uint32_t)(at - mem);
    }
        /* fall through */
    case PATH:
        at = scan->path(at, end);
        if (at - mem - r->p->line > r->limits->target_bytes)
            return H1_TARGET_TOO_LONG;
        if (at == end)
            return more(r, PATH, at);
        h->path = slice(r, mem + r->p->line, at);
        if (*at != '?')
            goto target_end;
        h->has_query = true;
        h->query.at = (uint16_t)(at + 1 - mem);
        /* fall through */
    case QUERY:
        at = scan->query(at, end);
        if (at - mem - r->p->line > r->limits->target_bytes)
            return H1_TARGET_TOO_LONG;
        if (at == end)
            return more(r, QUERY, at);
        h->query.len = (uint16_t)(at - mem - h->query.at);
    target_end:
        h->target = slice(r, mem + r->p->line, at);
        if (*at == '\r' || *at == '\n') /* HTTP/0.9, or the version is missing */
            return H1_BAD_VERSION;
        if (*at != ' ' || h->target.len == 0)
            return H1_BAD_TARGET;
        at++;
        r->p->line = (uint32_t)(at - mem);
        /* fall through */
    default: { /* VERSION */
        result = version(r, mem + r->p->line, &at);
        if (result == H1_DONE)
            result = at == end ? H1_MORE : line_end(r, &at, H1_BAD_VERSION);
        if (result == H1_MORE)
            return more(r, VERSION, at);
    }
    }
    *out_at = at;
    return result;
}

/* Three digits, 100 to 599: others are no status (RFC 9110 section 15), and what two parsers make
 * of 099 or 1000 differs. */
static enum h1_result status(struct run *r, const char **at)
{
    const char *p = *at, *end = r->mem + r->end;
    unsigned n = 0;

    for (int i = 0; i < 4; i++, p++) {
        if (p == end)
            return H1_MORE;
        if (i == 0 ? *p != ' ' : !byte_is(*p, BYTE_DIGIT))
            return i == 0 ? H1_BAD_VERSION : H1_BAD_STATUS;
        if (i == 1 && (*p < '1' || *p > '5'))
            return H1_BAD_STATUS;
        if (i > 0)
            n = 10 * n + (unsigned)(*p - '0');
    }
    r->out->status = (uint16_t)n;
    *at = p;
    return H1_DONE;
}

static enum h1_result status_line(struct run *r, const struct h1_scan *scan, const char **out_at)
{
    const char *mem = r->mem, *end = mem + r->end, *at = *out_at;
    enum h1_result result;

    switch ((enum state)r->p->state) {
    case START:
    case VERSION:
        result = version(r, mem, &at);
        if (result == H1_MORE)
            return more(r, VERSION, end);
        if (result != H1_DONE) /* what is no HTTP at all is said so */
            return memcmp(mem, "HTTP/", r->end < 5 ? r->end : 5) != 0 ? H1_BAD_START : result;
        r->p->line = (uint32_t)(at - mem);
        /* fall through */
    case STATUS:
        at = mem + r->p->line;
        result = status(r, &at);
        if (result == H1_DONE && at == end)
            result = H1_MORE;
        if (result != H1_DONE)
            return result == H1_MORE ? more(r, STATUS, end) : result;
        /* The space before a reason that is not there is often left out as well. */
        if (*at == ' ')
            at++;
        else if (*at != '\r' && *at != '\n')
            return H1_BAD_STATUS;
        r->p->line = (uint32_t)(at - mem);
        /* fall through */
    default: /* REASON */
        at = scan->value(at, end);
        if (at == end)
            return more(r, REASON, at);
        r->out->reason = slice(r, mem + r->p->line, at);
        result = line_end(r, &at, H1_BAD_STATUS);
        if (result == H1_MORE)
            return more(r, REASON, at);
    }
    *out_at = at;
    return result;
}

/* ---- fields ---- */

/* What stands where the colon must (RFC 9112 section 5.1). */
static enum h1_result name_refused(char c)
{
    switch (c) {
    case ' ':
    case '\t':
        return H1_SPACE_BEFORE_COLON;
    case '\r':
    case '\n':
        return H1_NO_COLON;
    default:
        return H1_BAD_FIELD_NAME;
    }
}

static inline bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static inline struct http_field field(const char *mem, const char *name, size_t name_len,
                                      const char *value, const char *value_end)
{
    while (value_end > value && is_blank(value_end[-1]))
        value_end--;
    return (struct http_field){
        .value = {(uint16_t)(value - mem), (uint16_t)(value_end - value)},
        .name_at = (uint16_t)(name - mem),
        .name_len = (uint8_t)name_len,
        .id = (uint8_t)http_field_id_of(name, name_len),
    };
}

static inline void see(struct h1_seen *seen, unsigned id)
{
    seen->again |= seen->once & H1_BIT(id);
    seen->once |= H1_BIT(id);
}

static enum h1_result empty_line(struct run *r, const char *at)
{
    enum h1_result result = line_end(r, &at, H1_BAD_FIELD_NAME);
    if (result == H1_MORE)
        return more(r, LINE_START, at);
    r->p->at = (uint32_t)(at - r->mem);
    return result;
}

/* Takes complete and valid lines. Stops before the first that is neither, for fields() to judge. */
static inline __attribute__((always_inline)) const char *usual_fields(struct run *r,
                                                                      const struct h1_scan *scan,
                                                                      const char *at)
{
    const char *mem = r->mem, *end = mem + r->end;
    struct http_field *first = r->out->fields, *last = first + r->fields_max;
    struct http_field *f = first + r->p->n_fields;
    struct h1_seen seen = r->seen;

    for (; f < last; f++) {
        const char *name_end = scan->token(at, end);
        size_t name_len = (size_t)(name_end - at);
        if (name_end == end || *name_end != ':' || name_len == 0 || name_len > NAME_MAX)
            break;
        const char *value = name_end + 1;
        while (value < end && is_blank(*value))
            value++;
        const char *value_end = scan->value(value, end);
        const char *next = value_end;
        if (next == end || line_end(r, &next, H1_MORE) != H1_DONE)
            break;
        *f = field(mem, at, name_len, value, value_end);
        see(&seen, f->id);
        at = next;
    }
    r->p->n_fields = (uint16_t)(f - first);
    r->seen = seen;
    return at;
}

/* Field lines up to the empty one. A line that came in pieces is only counted. */
static inline __attribute__((always_inline)) enum h1_result fields(struct run *r,
                                                                   const struct h1_scan *scan,
                                                                   const char *at)
{
    const char *mem = r->mem, *end = mem + r->end;
    struct h1_parser *p = r->p;
    enum h1_result result;

    for (enum state state = (enum state)p->state;; state = LINE_START) {
        switch (state) {
        default: /* LINE_START */
            at = usual_fields(r, scan, at);
            if (at == end)
                return more(r, LINE_START, at);
            if (*at == '\r' || *at == '\n')
                return empty_line(r, at);
            if (is_blank(*at)) /* RFC 9112 section 5.2; behind the first line: section 2.2 */
                return H1_OBS_FOLD;
            if (p->n_fields == r->fields_max)
                return H1_TOO_MANY_FIELDS;
            p->line = (uint32_t)(at - mem);
            /* fall through */
        case NAME:
            at = scan->token(at, end);
            if (at - mem - p->line > NAME_MAX)
                return H1_HEAD_TOO_LARGE;
            if (at == end)
                return more(r, NAME, at);
            if (*at != ':')
                return name_refused(*at);
            if (at == mem + p->line)
                return H1_BAD_FIELD_NAME;
            at++;
            /* fall through */
        case VALUE:
            at = scan->value(at, end);
            if (at == end)
                return more(r, VALUE, at);
            result = line_end(r, &at, H1_BAD_FIELD_VALUE);
            if (result != H1_DONE)
                return result == H1_MORE ? more(r, VALUE, at) : result;
            p->n_fields++;
        }
    }
}

/* ---- the whole ---- */

static inline __attribute__((always_inline)) enum h1_result run(struct run *r,
                                                                const struct h1_scan *scan)
{
    const char *at = r->mem + r->p->at;

    if (r->p->state < LINE_START && r->kind != TRAILERS) {
        enum h1_result result =
            r->kind == REQUEST ? request_line(r, scan, &at) : status_line(r, scan, &at);
        if (result != H1_DONE)
            return result;
        r->p->state = LINE_START;
    }
    return fields(r, scan, at);
}

/* ---- levels ---- */

typedef enum h1_result run_fn(struct run *r);

static enum h1_result run_plain(struct run *r)
{
    return run(r, &scan_plain);
}

#ifdef __x86_64__
SSE42 static enum h1_result run_sse42(struct run *r)
{
    return run(r, &scan_sse42);
}

AVX2 static enum h1_result run_avx2(struct run *r)
{
    return run(r, &scan_avx2);
}

static run_fn *run_of(int level)
{
    __builtin_cpu_init();
    switch (level) {
    case 0:
        return run_plain;
    case 1:
        return __builtin_cpu_supports("sse4.2") ? run_sse42 : NULL;
    case 2:
        return __builtin_cpu_supports("avx2") ? run_avx2 : NULL;
    default:
        return NULL;
    }
}
#else
static run_fn *run_of(int level)
{
    return level == 0 ? run_plain : NULL;
}
#endif

static run_fn run_first;
static run_fn *_Atomic run_best = run_first; /* threads may choose at the same time: the same one */

bool h1_parse_use(int level)
{
    run_fn *fn = run_of(level);
    if (fn == NULL)
        return false;
    atomic_store_explicit(&run_best, fn, memory_order_relaxed);
    return true;
}

/* Stands in until the processor was asked. */
static enum h1_result run_first(struct run *r)
{
    int level = 2;
    while (!h1_parse_use(level))
        level--;
    return atomic_load_explicit(&run_best, memory_order_relaxed)(r);
}

/* ---- heads ---- */

static void start_head(struct http_head *h, char *mem)
{
    struct http_field *fields = h->fields;
    uint16_t max_fields = h->max_fields;
    *h = (struct http_head){.mem = mem, .fields = fields, .max_fields = max_fields};
}

/* Runs; a head that came in pieces is run once more when its end, or its fault, was found. */
static enum h1_result parse(struct run *r, char *mem, uint32_t len)
{
    const struct h1_limits *limits = r->limits;
    uint32_t max =
        limits->head_bytes < HTTP_HEAD_BYTES_MAX ? limits->head_bytes : HTTP_HEAD_BYTES_MAX;
    bool resumed = r->p->at > 0;

    r->mem = mem;
    r->end = len < max ? len : max;
    r->at_limit = r->end == max;
    r->fields_max = limits->fields < r->out->max_fields ? limits->fields : r->out->max_fields;
    start_head(r->out, mem);
    run_fn *go = atomic_load_explicit(&run_best, memory_order_relaxed);
    enum h1_result result = go(r);
    if (resumed && result != H1_MORE) {
        *r->p = (struct h1_parser){0};
        r->seen = (struct h1_seen){0};
        start_head(r->out, mem);
        enum h1_result again = go(r);
        sl_assert(again == result);
    }
    r->out->n_fields = r->p->n_fields;
    r->out->used = r->out->cap = result == H1_DONE ? r->p->at : r->end;
    return result;
}

enum h1_result h1_parse_request(struct h1_parser *p, char *mem, uint32_t len,
                                const struct h1_limits *limits, struct http_head *out)
{
    struct run r = {.p = p, .limits = limits, .out = out, .kind = REQUEST};
    enum h1_result result = parse(&r, mem, len);
    return result == H1_DONE ? h1_request_rules(out, &r.seen) : result;
}

enum h1_result h1_parse_response(struct h1_parser *p, char *mem, uint32_t len,
                                 const struct h1_limits *limits, enum http_method to,
                                 struct http_head *out)
{
    struct run r = {
        .p = p, .limits = limits, .out = out, .kind = RESPONSE, .bare_lf = limits->bare_lf};
    enum h1_result result = parse(&r, mem, len);
    return result == H1_DONE ? h1_response_rules(out, &r.seen, to) : result;
}

enum h1_result h1_parse_trailers(struct h1_parser *p, char *mem, uint32_t len,
                                 const struct h1_limits *limits, struct http_head *out)
{
    struct run r = {
        .p = p, .limits = limits, .out = out, .kind = TRAILERS, .bare_lf = limits->bare_lf};
    enum h1_result result = parse(&r, mem, len);
    if (result == H1_DONE)
        h1_drop_forbidden_trailers(out);
    return result;
}
