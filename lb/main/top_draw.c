/* top_draw.c - the lines of `sluice top`: header, list, one row's page, help; see top_view.h.
 * Every line has the exact width of the screen, so that drawing over the one before leaves nothing
 * of it and needs no clearing. */
#include "lb/main/top_list.h"
#include "lb/main/top_text.h"
#include "lb/main/top_view.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define NAME_MIN        12
#define NAME_MAX        32
#define CHECK_MIN       12
#define EVENTS_TOP      3 /* shown below the list, where there is room */
#define ROOM_FOR_EVENTS 20

#define PLAIN  ""
#define BOLD   "\x1b[1m"
#define DIM    "\x1b[2m"
#define INVERS "\x1b[7m"
#define RED    "\x1b[31m"
#define GREEN  "\x1b[32m"
#define YELLOW "\x1b[33m"
#define CYAN   "\x1b[36m"
#define RESET  "\x1b[0m"

struct canvas {
    struct strbuf *out;
    uint32_t width, height, n; /* lines drawn */
    bool colors;
};

static void begin(struct canvas *c, const char *look)
{
    if (c->n++ > 0)
        strbuf_add_char(c->out, '\n');
    if (c->colors)
        strbuf_add_cstr(c->out, look);
}

static void end(struct canvas *c, const char *look)
{
    if (c->colors && look[0] != '\0')
        strbuf_add_cstr(c->out, RESET);
}

static void line(struct canvas *c, const char *look, const char *fmt, ...) PRINTF_LIKE(3, 4);

static void line(struct canvas *c, const char *look, const char *fmt, ...)
{
    struct strbuf text = {0};
    va_list ap;

    if (c->n >= c->height)
        return;
    va_start(ap, fmt);
    strbuf_vaddf(&text, fmt, ap);
    va_end(ap);
    begin(c, look);
    top_pad(c->out, strbuf_str(&text), c->width, false);
    end(c, look);
    strbuf_fini(&text);
}

/* "17 2026-11-23T09:20:00.123456Z warn health app/a TEXT" as "11-23 09:20:00 warn TEXT": the text
 * names its object. */
static void event_line(struct canvas *c, const char *look, const char *event)
{
    struct str rest = str_of(event), words[5];

    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        words[i] = str_word(&rest, " ");
    if (words[1].len < 19 || words[4].len == 0)
        line(c, look, "%s", event);
    else
        line(c, look, "%.5s %.8s " STR_FMT " " STR_FMT, words[1].p + 5, words[1].p + 11,
             STR_ARG(words[2]), STR_ARG(str_trim(rest)));
}

/* ---- header ---- */

static void add_workers(const struct top_data *d, struct strbuf *out)
{
    uint32_t shown = d->n_workers < 8 ? d->n_workers : 0, sum = 0;

    if (d->n_workers == 0)
        return;
    for (uint32_t i = 0; i < d->n_workers; i++)
        sum += d->busy_percent[i];
    strbuf_addf(out, "  cpu %u%%", sum / d->n_workers);
    for (uint32_t i = 0; i < shown && shown > 1; i++)
        strbuf_addf(out, "%s%u", i > 0 ? " " : " (", d->busy_percent[i]);
    if (shown > 1)
        strbuf_add_char(out, ')');
}

static void header(struct canvas *c, const struct top_view *v, const struct top_data *d)
{
    char up[TOP_TEXT_MAX], rate[TOP_TEXT_MAX], bytes[TOP_TEXT_MAX], conns[TOP_TEXT_MAX],
        opened[TOP_TEXT_MAX], tls[TOP_TEXT_MAX];
    struct strbuf text = {0};
    uint32_t pools = 0, backends = 0, down = 0;

    if (!d->valid) {
        line(c, BOLD, "sluice top");
        line(c, v->trouble[0] != '\0' ? RED : PLAIN, "%s",
             v->trouble[0] != '\0' ? v->trouble : "waiting for the first answer");
        return;
    }
    for (uint32_t i = 0; i < d->n_rows; i++) {
        pools += d->rows[i].type == TOP_POOL;
        backends += d->rows[i].type == TOP_BACKEND;
        down += d->rows[i].type == TOP_BACKEND && strncmp(d->rows[i].status, "DOWN", 4) == 0;
    }
    strbuf_addf(&text, "%s %s  %s  up %s", d->product, d->version, d->node,
                top_duration(d->uptime_s, up));
    add_workers(d, &text);
    strbuf_addf(&text, "%s%s", d->stopping ? "  DRAINING" : "", v->paused ? "  PAUSED" : "");
    line(c, BOLD, "%s", text.p);
    strbuf_fini(&text);
    if (v->trouble[0] != '\0') {
        line(c, RED, "%s", v->trouble);
        return;
    }
    line(c, PLAIN,
         "%s conns (+%s/s)  %s req/s  %sB/s out  %s tls/s  %u pools  %u backends, %u down",
         top_count(d->connections, conns), top_count(d->connection_rate, opened),
         top_count(d->handled_rate, rate), top_bytes(d->bytes_rate, bytes),
         top_count(d->tls_rate, tls), pools, backends, down);
}

static void message(struct canvas *c, const struct top_view *v)
{
    if (v->mode == TOP_FILTER)
        line(c, BOLD, "filter: %s_   Enter: keep it, Esc: all", v->filter);
    else if (v->mode == TOP_CONFIRM)
        line(c, BOLD YELLOW, "%s %s/%s: are you sure? y: yes, any other key: no", v->verb, v->pool,
             v->name);
    else if (v->message[0] != '\0')
        line(c, v->bad ? RED : CYAN, "%s", v->message);
    else if (v->filter[0] != '\0')
        line(c, CYAN, "only what has \"%s\" (Esc: all)", v->filter);
    else
        line(c, PLAIN, "%s", "");
}

/* ---- the list ---- */

static const struct column {
    const char *title;
    uint32_t width;
    uint32_t rank; /* the highest goes first when the screen is narrow; 0: stays */
    bool right;
} columns[TOP_COLUMNS] = {
    [TOP_BY_STATE] = {"STATE", 10, 0, false}, [TOP_BY_SINCE] = {"SINCE", 5, 8, true},
    [TOP_BY_SESSIONS] = {"CONN", 5, 1, true}, [TOP_BY_QUEUE] = {"QUEUE", 5, 5, true},
    [TOP_BY_RATE] = {"REQ/S", 5, 2, true},    [TOP_BY_BYTES] = {"BYTE/S", 6, 6, true},
    [TOP_BY_ERRORS] = {"ERR", 5, 3, true},    [TOP_BY_P50] = {"P50", 5, 7, true},
    [TOP_BY_P99] = {"P99", 5, 4, true},
};

struct layout {
    uint32_t name, check; /* their widths; check 0: not shown */
    bool shown[TOP_COLUMNS];
};

static struct layout lay_out(uint32_t width)
{
    struct layout l = {0};
    uint32_t fixed = 0;

    for (int i = TOP_BY_STATE; i < TOP_COLUMNS; i++) {
        l.shown[i] = true;
        fixed += columns[i].width + 1;
    }
    for (uint32_t rank = TOP_COLUMNS; rank > 0 && fixed + NAME_MIN > width; rank--)
        for (int i = TOP_BY_STATE; i < TOP_COLUMNS; i++)
            if (columns[i].rank == rank) {
                l.shown[i] = false;
                fixed -= columns[i].width + 1;
            }
    l.name = width > fixed + NAME_MIN ? width - fixed : NAME_MIN;
    if (l.name >= NAME_MAX + 1 + CHECK_MIN) {
        l.check = l.name - NAME_MAX - 1;
        l.name = NAME_MAX;
    }
    return l;
}

/* What stands in a column of a row. */
static const char *value(const struct top_row *r, enum top_column column,
                         char buf[static TOP_TEXT_MAX])
{
    switch (column) {
    case TOP_BY_STATE:
        return r->status;
    case TOP_BY_SINCE:
        return r->type == TOP_LISTENER ? "" : top_duration(r->since_s, buf);
    case TOP_BY_SESSIONS:
        return top_count(r->sessions, buf);
    case TOP_BY_QUEUE:
        return r->type == TOP_LISTENER ? "" : top_count(r->queued, buf);
    case TOP_BY_RATE:
        return top_count(r->rate, buf);
    case TOP_BY_BYTES:
        return r->bytes_rate < 0 ? "-" : top_bytes((uint64_t)r->bytes_rate, buf);
    case TOP_BY_ERRORS:
        return top_count(top_row_errors(r), buf);
    case TOP_BY_P50:
        return r->p50_us < 0 ? "-" : top_latency((uint64_t)r->p50_us, buf);
    case TOP_BY_P99:
        return r->p99_us < 0 ? "-" : top_latency((uint64_t)r->p99_us, buf);
    default:
        return "";
    }
}

static const char *state_look(const struct top_row *r)
{
    const char *s = r->status;

    if (strncmp(s, "DOWN", 4) == 0 || strncmp(s, "STOP", 4) == 0)
        return strchr(s, '/') != NULL ? YELLOW : RED;
    if (strcmp(s, "UP") == 0 || strcmp(s, "OPEN") == 0)
        return GREEN;
    if (strcmp(s, "no check") == 0)
        return PLAIN;
    return YELLOW; /* on its way, drained, in maintenance, full */
}

static const char *kind(const struct top_row *r)
{
    return r->type == TOP_LISTENER ? "> " : r->type == TOP_BACKEND ? "  " : "";
}

static void check_text(const struct top_row *r, struct strbuf *out)
{
    if (r->type == TOP_POOL)
        strbuf_addf(out, "%" PRIu64 " up, %" PRIu64 " backup; %s", r->up, r->backups_up,
                    r->algorithm);
    else if (r->type == TOP_LISTENER)
        strbuf_add_cstr(out, r->mode);
    else
        strbuf_addf(out, "%s%s%s", r->check, r->check[0] != '\0' && r->seen[0] != '\0' ? ": " : "",
                    r->seen);
}

static void draw_row(struct canvas *c, const struct layout *l, const struct top_row *r, bool chosen)
{
    const char *look = chosen ? INVERS : r->type == TOP_BACKEND ? PLAIN : BOLD;
    struct strbuf name = {0}, check = {0}, row = {0};
    char buf[TOP_TEXT_MAX];

    strbuf_addf(&name, "%s%s%s", kind(r), r->type == TOP_BACKEND ? r->name : r->pool,
                r->is_backup ? " (b)" : "");
    top_pad(&row, strbuf_str(&name), l->name, false);
    for (int i = TOP_BY_STATE; i < TOP_COLUMNS; i++) {
        if (!l->shown[i])
            continue;
        strbuf_add_char(&row, ' ');
        const char *state = i == TOP_BY_STATE && !chosen && c->colors ? state_look(r) : PLAIN;
        strbuf_add_cstr(&row, state);
        top_pad(&row, str_of(value(r, (enum top_column)i, buf)), columns[i].width,
                columns[i].right);
        if (state[0] != '\0') {
            strbuf_add_cstr(&row, RESET);
            strbuf_add_cstr(&row, look);
        }
    }
    if (l->check > 0) {
        check_text(r, &check);
        strbuf_add_char(&row, ' ');
        top_pad(&row, strbuf_str(&check), l->check, false);
    }
    begin(c, look);
    strbuf_add_str(c->out, strbuf_str(&row));
    end(c, look);
    strbuf_fini(&name);
    strbuf_fini(&check);
    strbuf_fini(&row);
}

static void titles(struct canvas *c, const struct layout *l, enum top_column sort)
{
    struct strbuf row = {0};

    top_pad(&row, str_of(sort == TOP_BY_NAME ? "*NAME" : "NAME"), l->name, false);
    for (int i = TOP_BY_STATE; i < TOP_COLUMNS; i++) {
        char title[16];
        if (!l->shown[i])
            continue;
        snprintf(title, sizeof(title), "%s%s", i == (int)sort ? "*" : "", columns[i].title);
        /* the mark may stand in the gap */
        bool wide = strlen(title) > columns[i].width;
        if (!wide)
            strbuf_add_char(&row, ' ');
        top_pad(&row, str_of(title), columns[i].width + wide, columns[i].right);
    }
    if (l->check > 0)
        strbuf_addf(&row, " %s", "CHECK");
    line(c, INVERS, "%s", row.p);
    strbuf_fini(&row);
}

/* The cursor stays on its row, wherever that went. */
static void follow_row(struct top_view *v, const struct top_list *l)
{
    for (uint32_t i = 0; i < l->n; i++) {
        const struct top_row *r = l->rows[i];
        if (r->type != v->type || strcmp(r->pool, v->pool) != 0 || strcmp(r->name, v->name) != 0)
            continue;
        v->cursor = i;
        return;
    }
    if (v->cursor >= l->n)
        v->cursor = l->n > 0 ? l->n - 1 : 0;
    if (l->n == 0)
        return;
    snprintf(v->pool, sizeof(v->pool), "%s", l->rows[v->cursor]->pool);
    snprintf(v->name, sizeof(v->name), "%s", l->rows[v->cursor]->name);
    v->type = l->rows[v->cursor]->type;
}

static void draw_list(struct canvas *c, struct top_view *v, const struct top_data *d)
{
    struct layout layout = lay_out(c->width);
    struct top_list l;
    uint32_t room, events = 0;

    top_list_make(&l, d, v->sort, v->reverse, v->filter);
    follow_row(v, &l);
    titles(c, &layout, v->sort);
    room = c->height > c->n + 1 ? c->height - c->n - 1 : 0; /* the last line: keys */
    if (room >= ROOM_FOR_EVENTS)
        events = d->n_events < EVENTS_TOP ? d->n_events : EVENTS_TOP;
    room -= events;
    v->page = room;
    if (v->scroll > v->cursor)
        v->scroll = v->cursor;
    if (room > 0 && v->cursor >= v->scroll + room)
        v->scroll = v->cursor - room + 1;
    if (v->scroll + room > l.n)
        v->scroll = l.n > room ? l.n - room : 0;
    for (uint32_t i = 0; i < room; i++) {
        if (v->scroll + i < l.n)
            draw_row(c, &layout, l.rows[v->scroll + i], v->scroll + i == v->cursor);
        else
            line(c, PLAIN, "%s", i == 0 && d->valid ? "(nothing to show)" : "");
    }
    for (uint32_t i = 0; i < events; i++)
        event_line(c, DIM, d->events[d->n_events - events + i]);
    top_list_fini(&l);
}

/* ---- one row's page ---- */

static const struct top_row *chosen_row(const struct top_view *v, const struct top_data *d)
{
    for (uint32_t i = 0; i < d->n_rows; i++) {
        const struct top_row *r = &d->rows[i];
        if (r->type == v->type && strcmp(r->pool, v->pool) == 0 && strcmp(r->name, v->name) == 0)
            return r;
    }
    return NULL;
}

static void describe_health(struct canvas *c, const struct top_row *r)
{
    char down[TOP_TEXT_MAX];

    if (r->type == TOP_POOL)
        line(c, PLAIN, "backends   %" PRIu64 " up, %" PRIu64 " backups up; balance %s", r->up,
             r->backups_up, r->algorithm);
    if (r->type != TOP_BACKEND)
        return;
    line(c, PLAIN, "address    %s", r->address[0] != '\0' ? r->address : "-");
    line(c, PLAIN, "weight     %" PRIu64 "%s", r->weight, r->is_backup ? ", backup" : "");
    if (r->check[0] == '\0')
        line(c, PLAIN, "check      none");
    else
        line(c, PLAIN,
             "check      %s: %s, in %" PRIu64 " ms; health %" PRIu64 " of %" PRIu64
             ", up from %" PRIu64,
             r->check, r->seen[0] != '\0' ? r->seen : "-", r->check_ms, r->health,
             r->rise + r->fall > 0 ? r->rise + r->fall - 1 : 0, r->rise);
    line(c, PLAIN,
         "history    %" PRIu64 " checks failed, %" PRIu64 " times down, down for %s in all",
         r->check_fails, r->downs, top_duration(r->downtime_s, down));
}

static void describe(struct canvas *c, const struct top_row *r)
{
    char since[TOP_TEXT_MAX], rate[TOP_TEXT_MAX], bytes[TOP_TEXT_MAX], all[TOP_TEXT_MAX],
        p50[TOP_TEXT_MAX], p99[TOP_TEXT_MAX], limit[32] = "no limit";

    line(c, BOLD, "%s %s%s%s",
         r->type == TOP_LISTENER ? "listener"
         : r->type == TOP_POOL   ? "pool"
                                 : "backend",
         r->pool, r->type == TOP_BACKEND ? "/" : "", r->type == TOP_BACKEND ? r->name : "");
    line(c, c->colors ? state_look(r) : PLAIN, "state      %s%s%s", r->status,
         r->type == TOP_LISTENER ? "" : " for ",
         r->type == TOP_LISTENER ? "" : top_duration(r->since_s, since));
    describe_health(c, r);
    if (r->limit > 0)
        snprintf(limit, sizeof(limit), "at most %" PRIu64, r->limit);
    line(c, PLAIN, "sessions   %" PRIu64 " now (most so far %" PRIu64 ", %s), %" PRIu64 " queued",
         r->sessions, r->sessions_max, limit, r->queued);
    line(c, PLAIN, "traffic    %s/s, %sB/s; %s sessions or requests in all",
         top_count(r->rate, rate),
         r->bytes_rate < 0 ? "-" : top_bytes((uint64_t)r->bytes_rate, bytes),
         top_count(r->total, all));
    line(c, top_row_errors(r) > 0 && c->colors ? YELLOW : PLAIN,
         "errors     %" PRIu64 " connects, %" PRIu64 " responses, %" PRIu64 " answers 5xx; %" PRIu64
         " retries",
         r->connect_errors, r->response_errors, r->answers_5xx, r->retries);
    if (r->p50_us >= 0)
        line(c, PLAIN, "latency    half within %s, 99%% within %s",
             top_latency((uint64_t)r->p50_us, p50), top_latency((uint64_t)r->p99_us, p99));
}

static void draw_detail(struct canvas *c, const struct top_view *v, const struct top_data *d)
{
    const struct top_row *r = chosen_row(v, d);

    if (r == NULL)
        line(c, RED, "%s%s%s is not there any more", v->pool, v->type == TOP_BACKEND ? "/" : "",
             v->type == TOP_BACKEND ? v->name : "");
    else
        describe(c, r);
    line(c, PLAIN, "%s", "");
    line(c, INVERS, "EVENTS");
    uint32_t room = c->height > c->n + 1 ? c->height - c->n - 1 : 0;
    uint32_t first = d->n_events > room ? d->n_events - room : 0;
    for (uint32_t i = first; i < d->n_events; i++)
        event_line(c, PLAIN, d->events[i]);
    if (d->n_events == 0)
        line(c, DIM, "none");
}

static void draw_help(struct canvas *c)
{
    static const char *const help[] = {
        "Up Down PgUp PgDn Home End (k j g G)   choose a row",
        "Enter        the row's page: health, traffic, errors, its events",
        "Esc          back; in the list: no filter",
        "< > (s S)    the column to sort by, marked *; i: the other way round",
        "/            filter by name, state or address",
        "p Space      pause",
        "D            drain the backend: it finishes what it has and gets nothing new",
        "M            maintenance: no traffic, no checks",
        "R            ready: traffic again",
        "q            quit",
        "",
        "ERR: connects and responses that failed, answers 5xx. P50, P99: latency.",
        "(b): a backup. CONN: sessions or requests under way. - not known.",
    };

    line(c, BOLD, "KEYS");
    for (size_t i = 0; i < ARRAY_LEN(help); i++)
        line(c, PLAIN, "%s", help[i]);
}

/* ---- the screen ---- */

static const char *keys(const struct top_view *v, uint32_t width)
{
    if (v->mode == TOP_HELP)
        return "any key: back   q: quit";
    if (v->mode == TOP_DETAIL || (v->mode == TOP_CONFIRM && v->back == TOP_DETAIL))
        return width < 60 ? "Esc:back D M R ?:help q:quit"
                          : "Esc:back  Up/Down:others  D:drain  M:maint  R:ready  ?:help  q:quit";
    return width < 75 ? "?:help q:quit Enter /:filter <>:sort"
                      : "?:help  q:quit  Enter:details  /:filter  <>:sort  p:pause  D M R:state";
}

void top_view_draw(struct top_view *v, const struct top_data *d, uint32_t width, uint32_t height,
                   struct strbuf *out)
{
    struct canvas c = {.out = out, .width = width, .height = height, .colors = v->colors};
    enum top_mode mode = v->mode == TOP_CONFIRM ? v->back : v->mode;

    if (width == 0 || height == 0)
        return;
    if (height >= 6) /* a strip of a screen has the list alone */
        header(&c, v, d);
    if (height >= 4)
        message(&c, v);
    if (mode == TOP_HELP)
        draw_help(&c);
    else if (mode == TOP_DETAIL)
        draw_detail(&c, v, d);
    else
        draw_list(&c, v, d);
    while (c.n + 1 < height)
        line(&c, PLAIN, "%s", "");
    line(&c, DIM, "%s", keys(v, width));
}

void top_view_print(const struct top_data *d, uint32_t width, struct strbuf *out)
{
    struct canvas c = {.out = out, .width = width, .height = UINT32_MAX};
    struct layout layout = lay_out(width);
    const struct top_view v = {0};
    struct top_list l;

    header(&c, &v, d);
    top_list_make(&l, d, TOP_BY_CONFIG, false, "");
    titles(&c, &layout, TOP_BY_CONFIG);
    for (uint32_t i = 0; i < l.n; i++)
        draw_row(&c, &layout, l.rows[i], false);
    for (uint32_t i = 0; i < d->n_events; i++)
        event_line(&c, PLAIN, d->events[i]);
    strbuf_add_char(out, '\n');
    top_list_fini(&l);
}
