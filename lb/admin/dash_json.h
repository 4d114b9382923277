/* dash_json.h - the state of the dashboard as JSON: all of it, or what has changed. The page
 * (dashboard.js) reads it and nobody else, so both change together. Control thread. */
#ifndef SLUICE_ADMIN_DASH_JSON_H
#define SLUICE_ADMIN_DASH_JSON_H

#include "lb/admin/dash_model.h"
#include "lb/base/str.h"

struct dash_text {
    struct dash_model *m;
    uint64_t event;        /* the last one that was told */
    uint64_t step;         /* likewise */
    uint64_t certificates; /* their hash, likewise */
};

#define DASH_EVENTS_FIRST  100 /* told to a new stream */
#define DASH_EVENTS_MAX    200 /* told at once: more are left out */
#define DASH_HISTORIES_MAX 500 /* backends whose past a new stream is told; others begin anew */

/* What differs from what was told before; takes it as told. */
void dash_json_changes(struct dash_text *t, struct strbuf *out);
/* Everything, as it was told last. */
void dash_json_all(const struct dash_text *t, struct strbuf *out);

#endif
