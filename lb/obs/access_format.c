/* access_format.c - access lines: templates, and JSON with fixed keys.
 *
 * A format is compiled once, at load, to pieces: literal bytes, then a function that writes one
 * value. "tcplog" is a template too. Writing runs once per session on a worker: no allocation, no
 * printf, no lock; the broken-down time of the last second is kept per thread.
 * A line that would not fit is cut and still ends with its newline. */
#include "lb/obs/access_log.h"

#include "lb/base/alloc.h"
#include "lb/net/addr.h"
#include "lb/obs/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* No value takes more than this of a JSON line, so that the whole always fits and stays valid:
 * eight texts, the keys and the numbers. */
#define JSON_TEXT_MAX 132

struct writer {
    char *p, *end; /* a byte for the newline is left behind end */
};

typedef void write_fn(struct writer *w, const struct access_record *r);

struct piece {
    struct str literal; /* comes first */
    write_fn *write;    /* NULL: nothing follows */
};

struct access_format {
    bool json;
    char *text; /* the literals point into it */
    size_t n_pieces;
    struct piece pieces[];
};

/* ---- writing ---- */

static void put(struct writer *w, const char *p, size_t len)
{
    size_t room = (size_t)(w->end - w->p);

    if (len > room)
        len = room;
    memcpy(w->p, p, len);
    w->p += len;
}

static void put_cstr(struct writer *w, const char *s)
{
    put(w, s, strlen(s));
}

#define PUT(w, literal) put(w, literal, sizeof(literal) - 1)

static void put_char(struct writer *w, char c)
{
    put(w, &c, 1);
}

static void put_u64(struct writer *w, uint64_t v)
{
    char digits[20], *p = digits + sizeof(digits);

    do {
        *--p = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    put(w, p, (size_t)(digits + sizeof(digits) - p));
}

static void put_padded(struct writer *w, uint32_t v, int width)
{
    char digits[10];

    for (int i = width; i-- > 0; v /= 10)
        digits[i] = (char)('0' + v % 10);
    put(w, digits, (size_t)width);
}

static void put_hex(struct writer *w, uint64_t v)
{
    char text[18] = "0x";

    for (int i = 17; i >= 2; i--, v >>= 4)
        text[i] = "0123456789abcdef"[v & 15];
    put(w, text, sizeof(text));
}

/* How much of s needs no escape in any format: printable ASCII but quotes and backslashes. */
static size_t plain_len(const char *s)
{
    size_t n = 0;

    while (s[n] >= 0x20 && s[n] < 0x7f && s[n] != '"' && s[n] != '\\')
        n++;
    return n;
}

/* Text from outside: what could end the line, a quoted field or a terminal's good mood is written
 * as \xXX, as nginx does. */
static void put_text(struct writer *w, const char *s)
{
    static const char hex[] = "0123456789ABCDEF";

    for (;;) {
        size_t n = plain_len(s);
        put(w, s, n);
        s += n;
        if (*s == '\0')
            return;
        unsigned char c = (unsigned char)*s++;
        const char escaped[4] = {'\\', 'x', hex[c >> 4], hex[c & 15]};
        put(w, escaped, sizeof(escaped));
    }
}

static void put_addr(struct writer *w, const struct addr *a)
{
    char text[ADDR_TEXT_MAX];

    if (a == NULL || a->len == 0)
        PUT(w, "-");
    else
        put_text(w, addr_format(a, text));
}

/* Milliseconds as HAProxy prints its timers: whole, -1 for a phase that was not reached. */
static void put_timer(struct writer *w, int64_t us)
{
    if (us < 0)
        PUT(w, "-1");
    else
        put_u64(w, (uint64_t)us / 1000);
}

/* ---- time ---- */

#define STAMP_MAX 32

struct stamp {
    uint64_t second;
    char haproxy[STAMP_MAX]; /* 06/Feb/2009:12:14:14 local */
    char common[STAMP_MAX];  /* 06/Feb/2009:12:14:14 +0100 local */
    char iso[STAMP_MAX];     /* 2009-02-06T11:14:14 UTC */
};

/* Month names must not follow the locale, so strftime() does only what is the same in all. */
static void stamp_make(struct stamp *s, uint64_t second)
{
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t t = (time_t)second;
    struct tm tm;
    char rest[STAMP_MAX];

    gmtime_r(&t, &tm);
    strftime(s->iso, sizeof(s->iso), "%Y-%m-%dT%H:%M:%S", &tm);
    localtime_r(&t, &tm);
    strftime(rest, sizeof(rest), "%Y:%H:%M:%S", &tm);
    snprintf(s->haproxy, sizeof(s->haproxy), "%02d/%s/%.20s", tm.tm_mday, months[tm.tm_mon], rest);
    strftime(rest, sizeof(rest), "%z", &tm);
    snprintf(s->common, sizeof(s->common), "%.24s %.6s", s->haproxy, rest);
    s->second = second;
}

static const struct stamp *stamp_of(const struct access_record *r)
{
    static _Thread_local struct stamp last;
    uint64_t second = r->start_wall_us / 1000000;

    if (unlikely(last.second != second || last.iso[0] == '\0'))
        stamp_make(&last, second);
    return &last;
}

static void put_millis(struct writer *w, const struct access_record *r)
{
    put_char(w, '.');
    put_padded(w, (uint32_t)(r->start_wall_us % 1000000 / 1000), 3);
}

/* ---- variables ---- */

static void write_client(struct writer *w, const struct access_record *r)
{
    put_addr(w, r->client);
}

static void write_client_ip(struct writer *w, const struct access_record *r)
{
    char text[ADDR_TEXT_MAX];

    if (r->client == NULL || r->client->len == 0)
        PUT(w, "-");
    else
        put_text(w, addr_format_host(r->client, text));
}

static void write_client_port(struct writer *w, const struct access_record *r)
{
    put_u64(w, r->client == NULL || r->client->len == 0 ? 0 : addr_port(r->client));
}

static void write_listener(struct writer *w, const struct access_record *r)
{
    put_text(w, r->listener);
}

static void write_listener_addr(struct writer *w, const struct access_record *r)
{
    put_addr(w, r->listener_addr);
}

static void write_pool(struct writer *w, const struct access_record *r)
{
    put_text(w, r->pool != NULL ? r->pool : r->listener);
}

static void write_backend(struct writer *w, const struct access_record *r)
{
    put_text(w, r->backend != NULL ? r->backend : "<NOSRV>");
}

static void write_backend_addr(struct writer *w, const struct access_record *r)
{
    put_addr(w, r->backend_addr);
}

static void write_id(struct writer *w, const struct access_record *r)
{
    put_hex(w, r->id);
}

static void write_time_haproxy(struct writer *w, const struct access_record *r)
{
    put_cstr(w, stamp_of(r)->haproxy);
    put_millis(w, r);
}

static void write_time_local(struct writer *w, const struct access_record *r)
{
    put_cstr(w, stamp_of(r)->common);
}

static void write_time_iso(struct writer *w, const struct access_record *r)
{
    put_cstr(w, stamp_of(r)->iso);
    put_millis(w, r);
    put_char(w, 'Z');
}

static void write_time_epoch(struct writer *w, const struct access_record *r)
{
    put_u64(w, r->start_wall_us / 1000000);
    put_millis(w, r);
}

static void write_queue_ms(struct writer *w, const struct access_record *r)
{
    put_timer(w, r->queue_us);
}

static void write_connect_ms(struct writer *w, const struct access_record *r)
{
    put_timer(w, r->connect_us);
}

static void write_total_ms(struct writer *w, const struct access_record *r)
{
    put_u64(w, r->total_us / 1000);
}

static void write_bytes_in(struct writer *w, const struct access_record *r)
{
    put_u64(w, r->bytes_in);
}

static void write_bytes_out(struct writer *w, const struct access_record *r)
{
    put_u64(w, r->bytes_out);
}

/* HAProxy's: a plus says that another backend took over. */
static void write_retries(struct writer *w, const struct access_record *r)
{
    if (r->redispatched)
        put_char(w, '+');
    put_u64(w, r->retries);
}

static void write_end(struct writer *w, const struct access_record *r)
{
    put_cstr(w, session_end_text(r->end));
}

static void write_end_code(struct writer *w, const struct access_record *r)
{
    put_cstr(w, session_end_code(r->end));
}

static void write_detail(struct writer *w, const struct access_record *r)
{
    put_text(w, r->detail[0] != '\0' ? r->detail : "-");
}

static void write_process_sessions(struct writer *w, const struct access_record *r)
{
    put_u64(w, r->actconn);
}

static void write_listener_sessions(struct writer *w, const struct access_record *r)
{
    put_u64(w, r->feconn);
}

static void write_pool_sessions(struct writer *w, const struct access_record *r)
{
    put_u64(w, r->beconn);
}

static void write_backend_sessions(struct writer *w, const struct access_record *r)
{
    put_u64(w, r->srv_conn);
}

static void write_backend_queue(struct writer *w, const struct access_record *r)
{
    put_u64(w, r->srv_queue);
}

static void write_pool_queue(struct writer *w, const struct access_record *r)
{
    put_u64(w, r->backend_queue);
}

/* access_log.h lists them for users of templates. */
static const struct variable {
    const char *name;
    write_fn *write;
} variables[] = {
    {"backend", write_backend},
    {"backend_addr", write_backend_addr},
    {"backend_queue", write_backend_queue},
    {"backend_sessions", write_backend_sessions},
    {"bytes_in", write_bytes_in},
    {"bytes_out", write_bytes_out},
    {"client", write_client},
    {"client_ip", write_client_ip},
    {"client_port", write_client_port},
    {"connect_ms", write_connect_ms},
    {"detail", write_detail},
    {"end", write_end},
    {"end_code", write_end_code},
    {"id", write_id},
    {"listener", write_listener},
    {"listener_addr", write_listener_addr},
    {"listener_sessions", write_listener_sessions},
    {"pool", write_pool},
    {"pool_queue", write_pool_queue},
    {"pool_sessions", write_pool_sessions},
    {"process_sessions", write_process_sessions},
    {"queue_ms", write_queue_ms},
    {"retries", write_retries},
    {"time_epoch", write_time_epoch},
    {"time_haproxy", write_time_haproxy},
    {"time_iso", write_time_iso},
    {"time_local", write_time_local},
    {"total_ms", write_total_ms},
};

/* HAProxy's %ci:%cp [%t] %ft %b/%s %Tw/%Tc/%Tt %B %ts %ac/%fc/%bc/%sc/%rc %sq/%bq */
static const char tcplog[] =
    "$client_ip:$client_port [$time_haproxy] $listener $pool/$backend"
    " $queue_ms/$connect_ms/$total_ms $bytes_out $end_code $process_sessions/$listener_sessions/"
    "$pool_sessions/$backend_sessions/$retries $backend_queue/$pool_queue";

/* ---- JSON ---- */

static void json_text(struct writer *w, const char *text)
{
    char form[JSON_CHAR_MAX];
    size_t used = plain_len(text);

    if (used > JSON_TEXT_MAX)
        used = JSON_TEXT_MAX;
    put_char(w, '"');
    put(w, text, used);
    struct str rest = str_of(text + used);
    while (rest.len > 0 && used + sizeof(form) <= JSON_TEXT_MAX) {
        size_t n = json_char(&rest, form);
        put(w, form, n);
        used += n;
    }
    put_char(w, '"');
}

static void json_text_or_null(struct writer *w, const char *text)
{
    if (text != NULL)
        json_text(w, text);
    else
        PUT(w, "null");
}

static void json_addr(struct writer *w, const struct addr *a)
{
    char text[ADDR_TEXT_MAX];

    json_text_or_null(w, a != NULL && a->len > 0 ? addr_format(a, text) : NULL);
}

/* Milliseconds with three decimals; null for a phase that was not reached. */
static void json_ms(struct writer *w, int64_t us)
{
    if (us < 0) {
        PUT(w, "null");
        return;
    }
    put_u64(w, (uint64_t)us / 1000);
    put_char(w, '.');
    put_padded(w, (uint32_t)(us % 1000), 3);
}

static void json_number(struct writer *w, const char *key, uint64_t v)
{
    PUT(w, ",\"");
    put_cstr(w, key);
    PUT(w, "\":");
    put_u64(w, v);
}

static void write_json(struct writer *w, const struct access_record *r)
{
    PUT(w, "{\"time\":\"");
    put_cstr(w, stamp_of(r)->iso);
    put_char(w, '.');
    put_padded(w, (uint32_t)(r->start_wall_us % 1000000), 6);
    PUT(w, "Z\",\"id\":\"");
    put_hex(w, r->id);
    PUT(w, "\",\"client\":");
    json_addr(w, r->client);
    PUT(w, ",\"listener\":");
    json_text(w, r->listener);
    PUT(w, ",\"listener_addr\":");
    json_addr(w, r->listener_addr);
    PUT(w, ",\"pool\":");
    json_text_or_null(w, r->pool);
    PUT(w, ",\"backend\":");
    json_text_or_null(w, r->backend);
    PUT(w, ",\"backend_addr\":");
    json_addr(w, r->backend_addr);
    PUT(w, ",\"queue_ms\":");
    json_ms(w, r->queue_us);
    PUT(w, ",\"connect_ms\":");
    json_ms(w, r->connect_us);
    PUT(w, ",\"total_ms\":");
    json_ms(w, (int64_t)(r->total_us & INT64_MAX));
    json_number(w, "bytes_in", r->bytes_in);
    json_number(w, "bytes_out", r->bytes_out);
    json_number(w, "retries", r->retries);
    PUT(w, ",\"redispatched\":");
    put_cstr(w, r->redispatched ? "true" : "false");
    PUT(w, ",\"end\":");
    json_text(w, session_end_text(r->end));
    PUT(w, ",\"end_code\":");
    json_text(w, session_end_code(r->end));
    PUT(w, ",\"detail\":");
    json_text(w, r->detail);
    json_number(w, "process_sessions", r->actconn);
    json_number(w, "listener_sessions", r->feconn);
    json_number(w, "pool_sessions", r->beconn);
    json_number(w, "backend_sessions", r->srv_conn);
    json_number(w, "backend_queue", r->srv_queue);
    json_number(w, "pool_queue", r->backend_queue);
    put_char(w, '}');
}

size_t access_format_write(const struct access_format *f, const struct access_record *r,
                           char out[static ACCESS_LINE_MAX])
{
    struct writer w = {.p = out, .end = out + ACCESS_LINE_MAX - 1};

    if (f->json) {
        write_json(&w, r);
    } else {
        for (size_t i = 0; i < f->n_pieces; i++) {
            put(&w, f->pieces[i].literal.p, f->pieces[i].literal.len);
            if (f->pieces[i].write != NULL)
                f->pieces[i].write(&w, r);
        }
    }
    *w.p++ = '\n';
    return (size_t)(w.p - out);
}

/* ---- compiling ---- */

static _Thread_local char error_text[200];

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/* The variable that shares the longest beginning with a mistyped name: most mistakes are at the
 * end. NULL when it is less than two letters. */
static const char *similar(struct str name)
{
    const char *best = NULL;
    size_t best_len = 1;

    for (size_t i = 0; i < ARRAY_LEN(variables); i++) {
        const char *v = variables[i].name;
        size_t n = 0;
        while (n < name.len && v[n] != '\0' && v[n] == name.p[n])
            n++;
        if (n > best_len) {
            best = v;
            best_len = n;
        }
    }
    return best;
}

static write_fn *find_variable(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(variables); i++)
        if (str_eq_cstr(name, variables[i].name))
            return variables[i].write;
    const char *near = similar(name);
    snprintf(error_text, sizeof(error_text), "unknown variable $%.*s%s%s%s",
             (int)(name.len < 64 ? name.len : 64), name.p, near ? " (did you mean \"$" : "",
             near ? near : "", near ? "\"?)" : "");
    return NULL;
}

/* Cuts "$name", "${name}" or "$$" off *rest, which begins with the dollar. A name becomes a piece's
 * function, "$$" a literal dollar (*out_write NULL). */
static int parse_dollar(struct str *rest, write_fn **out_write)
{
    struct str s = {rest->p + 1, rest->len - 1};
    bool braced = s.len > 0 && s.p[0] == '{';
    struct str name = {s.p + braced, 0};

    if (s.len > 0 && s.p[0] == '$') {
        *out_write = NULL;
        *rest = (struct str){s.p + 1, s.len - 1};
        return 0;
    }
    while (braced + name.len < s.len && is_name_char(name.p[name.len]))
        name.len++;
    size_t used = braced + name.len;
    if (name.len == 0 || (braced && (used >= s.len || s.p[used] != '}'))) {
        snprintf(error_text, sizeof(error_text), "%s",
                 braced ? "\"${\" without a name and \"}\" behind it"
                        : "a lone \"$\" (a variable's name must follow; \"$$\" is a dollar)");
        return -1;
    }
    *out_write = find_variable(name);
    used += braced;
    *rest = (struct str){s.p + used, s.len - used};
    return *out_write != NULL ? 0 : -1;
}

static int compile_template(struct access_format *f)
{
    struct str rest = str_of(f->text);
    const char *start = rest.p;

    while (rest.len > 0) {
        if ((unsigned char)rest.p[0] < 0x20 || rest.p[0] == 0x7f) {
            snprintf(error_text, sizeof(error_text),
                     "control byte 0x%02x: a record is one line of text", rest.p[0]);
            return -1;
        }
        if (rest.p[0] != '$') {
            rest.p++;
            rest.len--;
            continue;
        }
        struct piece *piece = &f->pieces[f->n_pieces++];
        piece->literal = (struct str){start, (size_t)(rest.p - start)};
        if (parse_dollar(&rest, &piece->write) < 0)
            return -1;
        start = rest.p;
        if (piece->write == NULL) /* "$$": the second one begins the next literal */
            start--;
    }
    f->pieces[f->n_pieces++] = (struct piece){{start, (size_t)(rest.p - start)}, NULL};
    return 0;
}

static const char *unusable(const char *text)
{
    if (text[0] == '\0')
        return "empty: expected tcplog, json or a template with $variables";
    if (strcmp(text, "combined") == 0 || strcmp(text, "httplog") == 0)
        return "is for listeners with mode http; here tcplog, json or a template with $variables";
    if (strchr(text, '$') == NULL)
        return "unknown format: expected tcplog, json or a template with $variables";
    return NULL;
}

struct access_format *access_format_compile(const char *text, const char **out_error)
{
    bool json = strcmp(text, "json") == 0;

    if (strcmp(text, "tcplog") == 0)
        text = tcplog;
    if (!json && unusable(text) != NULL) {
        *out_error = unusable(text);
        return NULL;
    }
    size_t max_pieces = 1;
    for (const char *p = text; *p != '\0'; p++)
        max_pieces += *p == '$';
    struct access_format *f = xcalloc(1, sizeof(*f) + max_pieces * sizeof(f->pieces[0]));
    f->json = json;
    f->text = xstrdup(text);
    if (!json && compile_template(f) < 0) {
        *out_error = error_text;
        access_format_free(&f);
    }
    return f;
}

void access_format_free(struct access_format **f)
{
    if (*f == NULL)
        return;
    free((*f)->text);
    free(*f);
    *f = NULL;
}

bool access_format_fits(const struct access_format *f, bool http, const char **out_error)
{
    (void)f;
    (void)http;
    (void)out_error;
    return true;
}

uint32_t access_format_needs(const struct access_format *f)
{
    (void)f;
    return ACCESS_NEEDS_REQUEST | ACCESS_NEEDS_RESPONSE;
}
