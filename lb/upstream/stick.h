/* stick.h - the cookie that brings a client back to its backend.
 *
 * Ours: the value is an id of the backend: the first 128 bits of HMAC-SHA-256 over pool and backend
 * name, keyed by the secret, in base64url. It says nothing about the backend and cannot be made up;
 * all instances with the same secret and names agree. All ids are made when the pool is, so that a
 * request costs a look into a table.
 * The application's (conf route): the backend's name follows the value's first dot, as Tomcat's
 * jvmRoute does. It can be made up, which at worst leads to another backend of the same pool.
 * Immutable once made, any thread. */
#ifndef SLUICE_UPSTREAM_STICK_H
#define SLUICE_UPSTREAM_STICK_H

#include "lb/base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct pool_conf;
struct stick;

#define STICK_NONE    UINT32_MAX
#define STICK_ID_TEXT 22 /* bytes of a value */

/* conf: with http.sticky; needed during the call only. before: of the same pool before a reload, or
 * NULL: its random secret is taken over. Ends the process without memory. */
struct stick *stick_new(const struct pool_conf *conf, const struct stick *before);
void stick_free(struct stick **s);
/* For the log, or NULL: no secret is configured. Static text. */
const char *stick_warning(const struct stick *s);
/* Index of the member that this cookie value names, STICK_NONE: it is none of this pool's. */
uint32_t stick_find(const struct stick *s, struct str value);
/* Whether responses set it: it is ours. */
bool stick_sets_cookie(const struct stick *s);
/* Only if so: the value of a Set-Cookie header for this member; secure: the client came by https.
 * Valid until stick_free(). */
struct str stick_cookie(const struct stick *s, uint32_t member, bool secure);

#endif
