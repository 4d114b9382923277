/* env.h - ${UPPER} and ${UPPER:-default} in string values; `$$` is a dollar.
 *
 * Done after parsing, so a value can never end its string nor bring in settings. What comes from
 * the environment is not looked at again. */
#ifndef SLUICE_CONFIG_ENV_H
#define SLUICE_CONFIG_ENV_H

#include "lb/base/str.h"

/* Appends the expansion of `in` to out. In a template (a log format, a redirect) `$lower`,
 * `${lower}` and `$$` stay for the template's own compiler, and dollars that come from the
 * environment are doubled; elsewhere `$lower` is a mistake. False with *error = "found ...,
 * expected ..." appended. */
bool env_expand(struct str in, bool template, struct strbuf *out, bool *out_used,
                struct strbuf *error) WARN_UNUSED;

#endif
