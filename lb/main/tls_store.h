/* tls_store.h - the TLS of the process: what the files of the configuration hold, the contexts that
 * are built of it for every thread, the keys of tickets.
 *
 * Control thread. While the process runs the files are watched: when they have changed and are
 * quiet again, they are read, contexts are built, and each thread gets its own by a message;
 * connections keep those that they began with. What is wrong with new files is logged, once, and
 * the old contexts serve on. */
#ifndef SLUICE_MAIN_TLS_STORE_H
#define SLUICE_MAIN_TLS_STORE_H

#include "lb/base/assert.h"

#include <stdbool.h>
#include <stdint.h>

struct certificate_info;
struct conf;
struct pool;
struct strbuf;
struct process;
struct tls_client;
struct tls_contexts;
struct tls_server;
struct tls_store;

/* Reads all files and builds all contexts. NULL: what is wrong was logged. wall_s: wall clock. */
struct tls_store *tls_store_new(const struct conf *conf, uint32_t n_workers, int64_t wall_s);
void tls_store_free(struct tls_store **s); /* no thread is left that uses its contexts */

/* For proxy_shared: a set per worker; of each NULL: nothing of it has had TLS yet. */
struct tls_contexts **tls_store_workers(struct tls_store *s);
/* For checker_pool_conf: NULL: the pool's checks are in clear. */
struct tls_client *const *tls_store_check_client(const struct tls_store *s,
                                                 const struct pool *pool);

/* Of the admin address; NULL: it is in clear. */
struct tls_server *tls_store_admin(const struct tls_store *s);
/* A reload has another one: read and built first, in force by the commit. False: it is no good. */
bool tls_admin_prepare(struct tls_store *s, const struct conf *conf, int64_t wall_s,
                       struct strbuf *errors) WARN_UNUSED;
void tls_admin_commit(struct tls_store *s);
void tls_admin_undo(struct tls_store *s); /* in place of it */

/* Warns of files that could not be read again, as the process has another user by now. */
void tls_store_check_access(const struct tls_store *s);
/* All threads run: watches from now on, and tells of certificates that expire soon. */
void tls_store_start(struct tls_store *s, struct process *p);
void tls_store_stop(struct tls_store *s); /* before the threads end; no effect a second time */
/* What was under way for it on the control loop has ended; that takes some turns after the stop. */
bool tls_store_stopped(const struct tls_store *s);
/* Reads everything again now (HUP). */
void tls_store_reload(struct tls_store *s);

/* Settings of the resolver have changed: responders of OCSP are looked up by those in force. */
void tls_store_forget_resolver(struct tls_store *s);

/* For `show ssl cert`. */
void tls_store_each(const struct tls_store *s,
                    void (*fn)(void *arg, const struct certificate_info *c), void *arg);

#endif
