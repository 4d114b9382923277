/* top_view.h - the screen of `sluice top`: what is shown of the data, and what keys do to it. Pure:
 * data and size in, lines out; what is to be done in the world comes back as a word. */
#ifndef SLUICE_MAIN_TOP_VIEW_H
#define SLUICE_MAIN_TOP_VIEW_H

#include "lb/main/top_data.h"

enum top_key {
    TOP_KEY_NONE,
    TOP_KEY_ENTER = '\r',
    TOP_KEY_ESC = 27,
    TOP_KEY_BACKSPACE = 127,
    TOP_KEY_UP = 0x110000, /* behind the characters of Unicode */
    TOP_KEY_DOWN,
    TOP_KEY_LEFT,
    TOP_KEY_RIGHT,
    TOP_KEY_PAGE_UP,
    TOP_KEY_PAGE_DOWN,
    TOP_KEY_HOME,
    TOP_KEY_END,
};

enum top_column {
    TOP_BY_CONFIG, /* as the configuration has them; no column */
    TOP_BY_NAME,
    TOP_BY_STATE,
    TOP_BY_SINCE,
    TOP_BY_SESSIONS,
    TOP_BY_QUEUE,
    TOP_BY_RATE,
    TOP_BY_BYTES,
    TOP_BY_ERRORS,
    TOP_BY_P50,
    TOP_BY_P99,
    TOP_COLUMNS
};

enum top_mode { TOP_LIST, TOP_DETAIL, TOP_HELP, TOP_FILTER, TOP_CONFIRM };

struct top_view {
    enum top_mode mode, back; /* back: where CONFIRM and HELP return to */
    enum top_column sort;
    bool reverse, paused, colors;
    uint32_t cursor, scroll;                                 /* in the list */
    char pool[LIMIT_NAME_LEN + 1], name[LIMIT_NAME_LEN + 1]; /* the row under it */
    enum top_type type;
    char filter[64];
    char message[160]; /* what was answered, or went wrong */
    bool bad;          /* ... and it was no good news */
    char trouble[160]; /* no connection: why; empty: there is one */
    const char *verb;  /* to be confirmed: "drain", "ready", "maint" */
    uint32_t page;     /* rows of the list, when it was last drawn */
};

enum top_act {
    TOP_ACT_NONE,
    TOP_ACT_QUIT,
    TOP_ACT_ASK,     /* fresh data, now: something else is looked at */
    TOP_ACT_COMMAND, /* top_view_command() goes to the socket */
};

enum top_act top_view_key(struct top_view *v, const struct top_data *d, uint32_t key);
/* `set server POOL/NAME state VERB`, with its newline. */
void top_view_command(const struct top_view *v, struct strbuf *out);
/* Appends `height` lines of `width` columns each, ended by newlines but for the last. */
void top_view_draw(struct top_view *v, const struct top_data *d, uint32_t width, uint32_t height,
                   struct strbuf *out);
/* The same once, for files and scripts: as many lines as there are, no colours, no keys. */
void top_view_print(const struct top_data *d, uint32_t width, struct strbuf *out);
/* Of what the events are asked for: of the row that is looked at, or NULL. */
const char *top_view_object(const struct top_view *v, struct strbuf *buf);

#endif
