/* stat_rows.h - the rows of `show stat`, for those who print them in another way. */
#ifndef SLUICE_ADMIN_STAT_ROWS_H
#define SLUICE_ADMIN_STAT_ROWS_H

#include "lb/admin/fields.h"
#include "lb/admin/stat_columns.h"

struct command_env;

/* row: STAT_N_COLUMNS values, valid for the call; STAT_type says of what (0 listener, 1 pool,
 * 2 backend). */
typedef void stat_row_fn(void *arg, const struct field_value *row);
/* Listeners, then each pool behind its backends. Control thread. */
void stat_each_row(const struct command_env *env, stat_row_fn *fn, void *arg);

#endif
