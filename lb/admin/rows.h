/* rows.h - an answer of rows and columns: as text for people and HAProxy's scripts, or as JSON, an
 * array of objects keyed by the text's column names. */
#ifndef SLUICE_ADMIN_ROWS_H
#define SLUICE_ADMIN_ROWS_H

#include "lb/base/str.h"

#include <stdint.h>

struct rows {
    struct strbuf *out;
    bool json;
    const char *const *columns;
    uint32_t n_columns, column, n_rows;
};

/* Text begins with "# " and the columns' names. columns must outlive it. */
void rows_begin(struct rows *r, struct strbuf *out, bool json, const char *const *columns,
                uint32_t n_columns);
/* The next value; after the last column the row is complete. Empty text shows as "-". */
void rows_text(struct rows *r, const char *text);
void rows_number(struct rows *r, int64_t value);
void rows_bool(struct rows *r, bool value); /* text: 1 or 0 */
void rows_end(struct rows *r);              /* between rows only */

#endif
