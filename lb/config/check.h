/* check.h - what no single setting shows: names used twice, references, addresses in conflict,
 * settings that have no effect where they stand. */
#ifndef SLUICE_CONFIG_CHECK_H
#define SLUICE_CONFIG_CHECK_H

#include "lb/config/conf_own.h"

struct config_setting_t;
struct problems;

/* Also fills what follows from other settings: pool indexes, the timeouts that a listener has from
 * its pool, the check intervals that were not given. Objects whose own settings were mistaken may
 * have NULL names. root: the parsed settings, for lines; a setting's hook is its scan_node. */
void check_conf(struct conf_own *own, const struct config_setting_t *root,
                struct problems *problems);

#endif
