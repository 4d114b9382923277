/* top_data.c - see top_data.h */
#include "lb/main/top_data.h"

#include "lb/base/alloc.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define COLUMNS_MAX 160 /* of show stat: HAProxy has about 110 */

void top_add_word(struct strbuf *out, const char *name)
{
    for (; *name != '\0'; name++) {
        if (strchr(" \t;\\", *name) != NULL)
            strbuf_add_char(out, '\\');
        if (*name != '\n')
            strbuf_add_char(out, *name);
    }
}

void top_data_ask(struct strbuf *out, uint32_t events, const char *object)
{
    strbuf_add_cstr(out, "show info;show stat;show activity;show latency;show events ");
    strbuf_addf(out, "%u", events < TOP_EVENTS_MAX ? events : TOP_EVENTS_MAX);
    if (object != NULL) {
        strbuf_add_cstr(out, " object ");
        top_add_word(out, object);
    }
    strbuf_add_char(out, '\n');
}

uint64_t top_row_errors(const struct top_row *r)
{
    return r->connect_errors + r->response_errors + r->answers_5xx;
}

/* ---- pieces ---- */

/* Cuts the next answer off: up to an empty line. */
static struct str next_answer(struct str *rest)
{
    size_t end = 0;

    while (end < rest->len && !(rest->p[end] == '\n' && (end == 0 || rest->p[end - 1] == '\n')))
        end++;
    struct str answer = {rest->p, end};
    end += end < rest->len;
    rest->p += end;
    rest->len -= end;
    return answer;
}

/* Cuts the next line off; false: there is none. */
static bool next_line(struct str *rest, struct str *out_line)
{
    if (rest->len == 0)
        return false;
    const char *end = memchr(rest->p, '\n', rest->len);
    size_t len = end != NULL ? (size_t)(end - rest->p) : rest->len;
    *out_line = (struct str){rest->p, len};
    len += end != NULL;
    rest->p += len;
    rest->len -= len;
    return true;
}

static void copy(char *out, size_t size, struct str s)
{
    size_t n = s.len < size - 1 ? s.len : size - 1;

    memcpy(out, s.p, n);
    out[n] = '\0';
}

static uint64_t number(struct str s)
{
    uint64_t n;

    return str_u64(str_trim(s), UINT64_MAX, &n) == 0 ? n : 0;
}

/* ---- show info ---- */

static void read_info(struct str text, struct top_data *d)
{
    const struct {
        const char *key;
        uint64_t *value;
    } numbers[] = {
        {"Uptime_sec", &d->uptime_s},     {"CurrConns", &d->connections},
        {"Maxconn", &d->connections_max}, {"ConnRate", &d->connection_rate},
        {"CumReq", &d->requests},         {"SslRate", &d->tls_rate},
        {"BytesOutRate", &d->bytes_rate}, {"Pid", &d->pid},
    };
    for (struct str line; next_line(&text, &line);) {
        const char *colon = memchr(line.p, ':', line.len);
        if (colon == NULL)
            continue;
        struct str key = {line.p, (size_t)(colon - line.p)};
        struct str value = str_trim((struct str){colon + 1, line.len - key.len - 1});
        if (str_eq_cstr(key, "Name"))
            copy(d->product, sizeof(d->product), value);
        else if (str_eq_cstr(key, "Version"))
            copy(d->version, sizeof(d->version), value);
        else if (str_eq_cstr(key, "node"))
            copy(d->node, sizeof(d->node), value);
        else if (str_eq_cstr(key, "Stopping"))
            d->stopping = number(value) != 0;
        for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
            if (str_eq_cstr(key, numbers[i].key))
                *numbers[i].value = number(value);
    }
}

/* ---- show stat ---- */

/* Cuts the next value of a line off; "a ""b""" is unquoted in place, into buf. */
static struct str next_value(struct str *line, struct strbuf *buf)
{
    size_t i = 0;

    if (line->len == 0 || line->p[0] != '"') {
        while (i < line->len && line->p[i] != ',')
            i++;
        struct str value = {line->p, i};
        i += i < line->len;
        line->p += i;
        line->len -= i;
        return value;
    }
    strbuf_clear(buf);
    for (i = 1; i < line->len; i++) {
        if (line->p[i] == '"' && !(i + 1 < line->len && line->p[i + 1] == '"'))
            break;
        i += line->p[i] == '"';
        strbuf_add_char(buf, line->p[i]);
    }
    while (i < line->len && line->p[i] != ',')
        i++;
    i += i < line->len;
    line->p += i;
    line->len -= i;
    return strbuf_str(buf);
}

/* A row while it is read: what is needed to tell what it is. */
struct reading {
    struct top_row row;
    uint64_t type, session_rate, request_rate, bytes_in, bytes_out;
    bool is_http;
};

static void set_value(struct reading *r, struct str name, struct str value)
{
    struct top_row *row = &r->row;
    const struct {
        const char *name;
        char *text;
        size_t size;
    } texts[] = {
        {"pxname", row->pool, sizeof(row->pool)},
        {"svname", row->name, sizeof(row->name)},
        {"status", row->status, sizeof(row->status)},
        {"addr", row->address, sizeof(row->address)},
        {"mode", row->mode, sizeof(row->mode)},
        {"algo", row->algorithm, sizeof(row->algorithm)},
        {"check_status", row->check, sizeof(row->check)},
        {"last_chk", row->seen, sizeof(row->seen)},
    };
    const struct {
        const char *name;
        uint64_t *number;
    } numbers[] = {
        {"type", &r->type},
        {"lastchg", &row->since_s},
        {"scur", &row->sessions},
        {"smax", &row->sessions_max},
        {"slim", &row->limit},
        {"qcur", &row->queued},
        {"stot", &row->total},
        {"bin", &r->bytes_in},
        {"bout", &r->bytes_out},
        {"weight", &row->weight},
        {"act", &row->up},
        {"bck", &row->backups_up},
        {"rate", &r->session_rate},
        {"req_rate", &r->request_rate},
        {"econ", &row->connect_errors},
        {"eresp", &row->response_errors},
        {"hrsp_5xx", &row->answers_5xx},
        {"wretr", &row->retries},
        {"chkfail", &row->check_fails},
        {"chkdown", &row->downs},
        {"downtime", &row->downtime_s},
        {"check_duration", &row->check_ms},
        {"check_rise", &row->rise},
        {"check_fall", &row->fall},
        {"check_health", &row->health},
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (str_eq_cstr(name, texts[i].name))
            copy(texts[i].text, texts[i].size, value);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        if (str_eq_cstr(name, numbers[i].name))
            *numbers[i].number = number(value);
}

static void add_row(struct top_data *d, struct reading *r, uint32_t *cap)
{
    struct top_row *row = &r->row;

    row->type = r->type == 0 ? TOP_LISTENER : r->type == 1 ? TOP_POOL : TOP_BACKEND;
    row->rate = r->request_rate > 0 ? r->request_rate : r->session_rate;
    row->bytes = r->bytes_in + r->bytes_out;
    row->is_backup = row->type == TOP_BACKEND && row->backups_up > 0;
    row->bytes_rate = row->p50_us = row->p99_us = -1;
    if (r->type > 2 || row->pool[0] == '\0' || d->n_rows == TOP_ROWS_MAX)
        return;
    if (d->n_rows == *cap) {
        *cap = *cap == 0 ? 64 : *cap * 2;
        d->rows = xrealloc(d->rows, *cap * sizeof(d->rows[0]));
    }
    d->rows[d->n_rows++] = *row;
}

static void read_stat(struct str text, struct top_data *d)
{
    struct str names[COLUMNS_MAX], line;
    struct strbuf quoted = {0}, unused = {0};
    uint32_t n_names = 0, cap = 0;

    if (!next_line(&text, &line) || !str_starts(line, STR("# ")))
        return;
    line.p += 2;
    line.len -= 2;
    while (line.len > 0 && n_names < COLUMNS_MAX)
        names[n_names++] = next_value(&line, &unused);
    while (next_line(&text, &line)) {
        struct reading r = {.type = UINT64_MAX};
        for (uint32_t i = 0; i < n_names && line.len > 0; i++)
            set_value(&r, names[i], next_value(&line, &quoted));
        add_row(d, &r, &cap);
    }
    strbuf_fini(&quoted);
    strbuf_fini(&unused);
}

/* ---- show activity, show latency, show events ---- */

/* "busy_ms: 8 [ 3 5 ]" */
static uint32_t read_each(struct str line, uint64_t *out)
{
    uint32_t n = 0;
    struct str word;

    do
        word = str_word(&line, " ");
    while (word.len > 0 && !str_eq_cstr(word, "["));
    for (word = str_word(&line, " "); word.len > 0 && !str_eq_cstr(word, "]");
         word = str_word(&line, " "))
        if (n < TOP_WORKERS_MAX)
            out[n++] = number(word);
    return n;
}

static void read_activity(struct str text, struct top_data *d)
{
    for (struct str line; next_line(&text, &line);) {
        if (str_starts(line, STR("busy_ms: ")))
            d->n_workers = read_each(line, d->busy_ms);
        else if (str_starts(line, STR("idle_ms: ")))
            d->n_busy = read_each(line, d->idle_ms);
    }
    if (d->n_busy < d->n_workers)
        d->n_workers = d->n_busy;
}

/* # type name backend what count mean_us p50_us p90_us p99_us ... */
static void read_latency(struct str text, struct top_data *d)
{
    for (struct str line; next_line(&text, &line);) {
        struct str words[9];
        for (size_t i = 0; i < ARRAY_LEN(words); i++)
            words[i] = str_word(&line, " ");
        if (words[8].len == 0 || words[0].p[0] == '#')
            continue;
        if (!str_eq_cstr(words[3], str_eq_cstr(words[0], "listener") ? "total" : "response"))
            continue;
        enum top_type type = str_eq_cstr(words[0], "listener") ? TOP_LISTENER
                             : str_eq_cstr(words[0], "pool")   ? TOP_POOL
                                                               : TOP_BACKEND;
        for (uint32_t i = 0; i < d->n_rows; i++) {
            struct top_row *r = &d->rows[i];
            if (r->type != type || !str_eq_cstr(words[1], r->pool) ||
                (type == TOP_BACKEND && !str_eq_cstr(words[2], r->name)) || number(words[4]) == 0)
                continue;
            r->p50_us = (int64_t)(number(words[6]) & INT64_MAX);
            r->p99_us = (int64_t)(number(words[8]) & INT64_MAX);
        }
    }
}

static void read_events(struct str text, struct top_data *d)
{
    for (struct str line; next_line(&text, &line) && d->n_events < TOP_EVENTS_MAX;) {
        if (line.len == 0 || line.p[0] < '0' || line.p[0] > '9')
            continue; /* a refusal: the other side has none */
        char *copied = xmalloc(line.len + 1);
        copy(copied, line.len + 1, line);
        d->events[d->n_events++] = copied;
    }
}

/* ---- rates ---- */

static const struct top_row *same_row(const struct top_data *d, const struct top_row *r,
                                      uint32_t at)
{
    /* Rows keep their places, mostly. */
    for (uint32_t i = 0; i < d->n_rows; i++) {
        const struct top_row *o = &d->rows[(at + i) % d->n_rows];
        if (o->type == r->type && strcmp(o->pool, r->pool) == 0 && strcmp(o->name, r->name) == 0)
            return o;
    }
    return NULL;
}

static void make_rates(struct top_data *d, const struct top_data *before)
{
    bool same = before != NULL && before->valid && before->pid == d->pid && before->n_rows > 0 &&
                d->taken_us > before->taken_us;
    uint64_t us = same ? d->taken_us - before->taken_us : 0;

    for (uint32_t i = 0; same && i < d->n_rows; i++) {
        const struct top_row *o = same_row(before, &d->rows[i], i);
        if (o != NULL && d->rows[i].bytes >= o->bytes)
            d->rows[i].bytes_rate =
                (int64_t)((double)(d->rows[i].bytes - o->bytes) * 1e6 / (double)us);
    }
    if (same && d->requests >= before->requests)
        d->handled_rate = (uint64_t)((double)(d->requests - before->requests) * 1e6 / (double)us);
    for (uint32_t i = 0; i < d->n_workers; i++) {
        bool has = same && i < before->n_workers && d->busy_ms[i] >= before->busy_ms[i] &&
                   d->idle_ms[i] >= before->idle_ms[i];
        uint64_t busy = d->busy_ms[i] - (has ? before->busy_ms[i] : 0);
        uint64_t idle = d->idle_ms[i] - (has ? before->idle_ms[i] : 0);
        double share = busy + idle > 0 ? 100.0 * (double)busy / ((double)busy + (double)idle) : 0;
        d->busy_percent[i] = (uint8_t)(share + 0.5);
    }
}

bool top_data_read(struct str answers, const struct top_data *before, uint64_t now_us,
                   struct top_data *out)
{
    struct top_data d = {.taken_us = now_us};

    read_info(next_answer(&answers), &d);
    if (d.version[0] == '\0')
        return false;
    read_stat(next_answer(&answers), &d);
    read_activity(next_answer(&answers), &d);
    read_latency(next_answer(&answers), &d);
    read_events(next_answer(&answers), &d);
    make_rates(&d, before);
    d.valid = true;
    *out = d;
    return true;
}

void top_data_fini(struct top_data *d)
{
    for (uint32_t i = 0; i < d->n_events; i++)
        free(d->events[i]);
    free(d->rows);
    *d = (struct top_data){0};
}
