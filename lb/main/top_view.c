/* top_view.c - what keys do; see top_view.h. Drawing is top_draw.c's. */
#include "lb/main/top_view.h"

#include "lb/main/top_list.h"

#include <stdio.h>

static void say(struct top_view *v, const char *text)
{
    snprintf(v->message, sizeof(v->message), "%s", text);
    v->bad = false;
}

static void complain(struct top_view *v, const char *text)
{
    say(v, text);
    v->bad = true;
}

/* ---- the cursor ---- */

/* Puts it on row `to` of the list as it is now, and remembers which that is. */
static void move_to(struct top_view *v, const struct top_data *d, int64_t to)
{
    struct top_list l;

    top_list_make(&l, d, v->sort, v->reverse, v->filter);
    if (to >= (int64_t)l.n)
        to = (int64_t)l.n - 1;
    v->cursor = to > 0 ? (uint32_t)to : 0;
    v->pool[0] = v->name[0] = '\0';
    if (l.n > 0) {
        const struct top_row *r = l.rows[v->cursor];
        snprintf(v->pool, sizeof(v->pool), "%s", r->pool);
        snprintf(v->name, sizeof(v->name), "%s", r->name);
        v->type = r->type;
    }
    top_list_fini(&l);
}

static bool move(struct top_view *v, const struct top_data *d, uint32_t key)
{
    int64_t page = v->page > 1 ? v->page - 1 : 1, at = v->cursor;

    switch (key) {
    case TOP_KEY_UP:
    case 'k':
        at--;
        break;
    case TOP_KEY_DOWN:
    case 'j':
        at++;
        break;
    case TOP_KEY_PAGE_UP:
        at -= page;
        break;
    case TOP_KEY_PAGE_DOWN:
        at += page;
        break;
    case TOP_KEY_HOME:
    case 'g':
        at = 0;
        break;
    case TOP_KEY_END:
    case 'G':
        at = INT32_MAX;
        break;
    default:
        return false;
    }
    move_to(v, d, at);
    return true;
}

/* ---- keys ---- */

static void sort_by(struct top_view *v, int step)
{
    static const char *const names[TOP_COLUMNS] = {
        [TOP_BY_CONFIG] = "the configuration's order",
        [TOP_BY_NAME] = "name",
        [TOP_BY_STATE] = "state",
        [TOP_BY_SINCE] = "time of the last change",
        [TOP_BY_SESSIONS] = "sessions",
        [TOP_BY_QUEUE] = "queue",
        [TOP_BY_RATE] = "requests per second",
        [TOP_BY_BYTES] = "bytes per second",
        [TOP_BY_ERRORS] = "errors",
        [TOP_BY_P50] = "median latency",
        [TOP_BY_P99] = "99th percentile of latency",
    };

    v->sort = (enum top_column)(((int)v->sort + step + TOP_COLUMNS) % TOP_COLUMNS);
    snprintf(v->message, sizeof(v->message), "sorted by %s", names[v->sort]);
    v->bad = false;
}

static void ask_to_confirm(struct top_view *v, const char *verb)
{
    if (v->type != TOP_BACKEND || v->name[0] == '\0') {
        complain(v, "drain, ready and maintenance are for a backend: choose one");
        return;
    }
    v->verb = verb;
    v->back = v->mode;
    v->mode = TOP_CONFIRM;
}

static enum top_act key_of_both(struct top_view *v, uint32_t key)
{
    switch (key) {
    case 'q':
    case 'Q':
        return TOP_ACT_QUIT;
    case '?':
    case 'h':
        v->back = v->mode;
        v->mode = TOP_HELP;
        break;
    case 'p':
    case ' ':
        v->paused = !v->paused;
        say(v, "");
        return v->paused ? TOP_ACT_NONE : TOP_ACT_ASK;
    case 'D':
        ask_to_confirm(v, "drain");
        break;
    case 'R':
        ask_to_confirm(v, "ready");
        break;
    case 'M':
        ask_to_confirm(v, "maint");
        break;
    default:
        break;
    }
    return TOP_ACT_NONE;
}

static enum top_act key_in_list(struct top_view *v, const struct top_data *d, uint32_t key)
{
    if (move(v, d, key))
        return TOP_ACT_NONE;
    switch (key) {
    case '>':
    case 's':
    case TOP_KEY_RIGHT:
        sort_by(v, 1);
        break;
    case '<':
    case 'S':
    case TOP_KEY_LEFT:
        sort_by(v, -1);
        break;
    case 'i':
        v->reverse = !v->reverse;
        say(v, v->reverse ? "order reversed" : "order as usual");
        break;
    case '/':
        v->mode = TOP_FILTER;
        say(v, "");
        break;
    case TOP_KEY_ESC:
        v->filter[0] = '\0';
        say(v, "");
        break;
    case '\n':
    case TOP_KEY_ENTER:
        if (v->pool[0] == '\0')
            break;
        v->mode = TOP_DETAIL;
        say(v, "");
        return TOP_ACT_ASK;
    default:
        return key_of_both(v, key);
    }
    return TOP_ACT_NONE;
}

static enum top_act key_in_detail(struct top_view *v, const struct top_data *d, uint32_t key)
{
    switch (key) {
    case TOP_KEY_ESC:
    case TOP_KEY_BACKSPACE:
    case TOP_KEY_LEFT:
        v->mode = TOP_LIST;
        say(v, "");
        return TOP_ACT_ASK;
    default:
        if (move(v, d, key)) /* the next backend's page */
            return TOP_ACT_ASK;
        return key_of_both(v, key);
    }
}

static enum top_act key_in_filter(struct top_view *v, const struct top_data *d, uint32_t key)
{
    size_t len = strlen(v->filter);

    switch (key) {
    case '\n':
    case TOP_KEY_ENTER:
        v->mode = TOP_LIST;
        break;
    case TOP_KEY_ESC:
        v->filter[0] = '\0';
        v->mode = TOP_LIST;
        break;
    case TOP_KEY_BACKSPACE:
    case 8:
        if (len > 0)
            v->filter[len - 1] = '\0';
        break;
    default:
        if (key > ' ' && key < 127 && len + 1 < sizeof(v->filter)) {
            v->filter[len] = (char)key;
            v->filter[len + 1] = '\0';
        }
        break;
    }
    move_to(v, d, 0);
    return TOP_ACT_NONE;
}

static enum top_act key_in_confirm(struct top_view *v, uint32_t key)
{
    v->mode = v->back;
    if (key == 'y' || key == 'Y')
        return TOP_ACT_COMMAND;
    say(v, "nothing was changed");
    return TOP_ACT_NONE;
}

enum top_act top_view_key(struct top_view *v, const struct top_data *d, uint32_t key)
{
    if (key == 3) /* Ctrl-C: the terminal is raw */
        return TOP_ACT_QUIT;
    switch (v->mode) {
    case TOP_LIST:
        return key_in_list(v, d, key);
    case TOP_DETAIL:
        return key_in_detail(v, d, key);
    case TOP_FILTER:
        return key_in_filter(v, d, key);
    case TOP_CONFIRM:
        return key_in_confirm(v, key);
    case TOP_HELP:
        v->mode = v->back;
        return key == 'q' ? TOP_ACT_QUIT : TOP_ACT_NONE;
    }
    return TOP_ACT_NONE;
}

void top_view_command(const struct top_view *v, struct strbuf *out)
{
    strbuf_add_cstr(out, "set server ");
    top_add_word(out, v->pool);
    strbuf_add_char(out, '/');
    top_add_word(out, v->name);
    strbuf_addf(out, " state %s\n", v->verb);
}

const char *top_view_object(const struct top_view *v, struct strbuf *buf)
{
    enum top_mode mode = v->mode == TOP_CONFIRM || v->mode == TOP_HELP ? v->back : v->mode;

    if (mode != TOP_DETAIL)
        return NULL;
    strbuf_clear(buf);
    strbuf_addf(buf, v->type == TOP_BACKEND ? "%s/%s" : "%s", v->pool, v->name);
    return buf->p;
}
