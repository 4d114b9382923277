/* dash.h - the dashboard's streams: once a second each is told what has changed.
 *
 * All get the same bytes. A new one is told everything first; so is everybody when a reload has
 * changed what there is. Who reads too slowly is cut, by the server (http_stream_push). Control
 * thread. */
#ifndef SLUICE_ADMIN_DASH_H
#define SLUICE_ADMIN_DASH_H

#include "lb/base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct command_env;
struct dash;
struct http_call;
struct loop;

#define DASH_STREAMS_MAX 32
#define DASH_TOKEN_LEN   32 /* characters */

/* What is remembered of the last minutes begins here. env must outlive it. */
struct dash *dash_new(struct loop *loop, const struct command_env *env);
/* Ends the streams: who looks on comes again, to the process that is there then. */
void dash_leave(struct dash *d);
void dash_stop(struct dash *d);
void dash_free(struct dash **d); /* its streams have ended */

/* Makes the call a stream. False: there are DASH_STREAMS_MAX. */
bool dash_stream(struct dash *d, struct http_call *call) WARN_UNUSED;
/* What a page must say with what it wants done: only a page of ours has read it. */
bool dash_token_is(const struct dash *d, struct str token);

#endif
