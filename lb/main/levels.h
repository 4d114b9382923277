/* levels.h - what the configuration calls a level, as the admin side knows it. */
#ifndef SLUICE_MAIN_LEVELS_H
#define SLUICE_MAIN_LEVELS_H

#include "lb/admin/control.h"
#include "lb/config/conf.h"

static inline enum control_level control_level_of(enum ctl_level level)
{
    switch (level) {
    case CTL_USER:
        return CONTROL_USER;
    case CTL_OPERATOR:
        return CONTROL_OPERATOR;
    case CTL_ADMIN:
        break;
    }
    return CONTROL_ADMIN;
}

#endif
