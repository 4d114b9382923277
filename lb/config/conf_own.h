/* conf_own.h - a configuration with what only lb/config needs of it: the memory, and the global
 * settings that have been merged into pools and listeners (-T prints them). */
#ifndef SLUICE_CONFIG_CONF_OWN_H
#define SLUICE_CONFIG_CONF_OWN_H

#include "lb/config/conf.h"
#include "lb/config/conf_arena.h"
#include "lb/config/conf_source.h"

#define CONF_GIVEN_MAX 32 /* there are half as many at the top */

struct schema_row;

struct conf_own {
    struct conf conf; /* conf.arena points at this object */
    struct conf_arena arena;
    const char *dir; /* of the main file, absolute, with its slash; NULL: a text from memory */
    uint32_t connect_timeout_ms, handshake_timeout_ms, tunnel_timeout_ms;
    uint32_t request_head_timeout_ms, body_timeout_ms, response_head_timeout_ms, idle_timeout_ms;
    uint32_t backend_idle_timeout_ms;
    uint32_t head_bytes, fields;
    uint64_t body_bytes;
    bool keep_encoded_slash;
    uint32_t max_per_source;
    char *access_target, *access_format; /* format NULL: by mode */
    /* Where global settings stand that only a restart changes. */
    struct {
        const struct schema_row *row;
        struct conf_place place;
    } given[CONF_GIVEN_MAX];
    uint32_t n_given;
    const char **sources; /* the files that the text was in, the main one first */
    uint32_t n_sources;
};

/* The object that holds c. */
static inline struct conf_own *conf_own_of(const struct conf *c)
{
    return c->arena;
}

#endif
