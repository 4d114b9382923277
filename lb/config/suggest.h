/* suggest.h - lives in lb/base: templates of requests suggest words too. */
#ifndef SLUICE_CONFIG_SUGGEST_H
#define SLUICE_CONFIG_SUGGEST_H

#include "lb/base/suggest.h"

#endif
