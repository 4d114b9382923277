/* conf_tests.h - the `tests` block of a configuration: what it promises is tried (`sluice -t`).
 *
 * Requests go the way that `sluice explain` shows, filters included: who must log in passes with
 * any Authorization of Basic, rate limits are not reached. Nothing is sent, no port is bound. */
#ifndef SLUICE_MAIN_CONF_TESTS_H
#define SLUICE_MAIN_CONF_TESTS_H

#include "lb/base/str.h"

struct conf;

/* How many of conf->tests fail; a line each is appended to errors. */
uint32_t conf_tests_run(const struct conf *conf, struct strbuf *errors);

#endif
