/* tls_store_priv.h - what tls_store.c and tls_watch.c share. */
#ifndef SLUICE_MAIN_TLS_STORE_PRIV_H
#define SLUICE_MAIN_TLS_STORE_PRIV_H

#include "lb/io/timer.h"

struct listener_conf;
struct pool_conf;
struct strbuf;
struct tls_client_conf;
struct tls_client_files;
struct tls_keyring;
struct tls_server_conf;
struct tls_server_files;

/* Files that belong together, by what stat says of them. */
struct watch {
    uint64_t read; /* when they were read last, whatever came of it */
    uint64_t seen; /* when they were looked at last */
    bool refused;  /* what came of it was no good */
};

/* A listener. */
struct served {
    const struct listener_conf *conf;
    uint32_t index;
    struct tls_server_files *files; /* of the contexts in use */
    struct tls_keyring *keys;
    struct watch certs, ticket_file;
    uint64_t rotate_at_ms; /* random keys */
};

/* A pool, or its checks, or both. */
struct dialled {
    const struct tls_client_conf *conf;
    const struct pool_conf *pool;
    uint32_t index;
    bool workers, health;           /* who uses it */
    struct tls_client_files *files; /* of the contexts in use */
    struct watch certs;
};

struct tls_store {
    const struct conf *conf;
    uint32_t n_workers;
    struct tls_contexts **workers; /* NULL: only checks have TLS */
    struct tls_contexts *health;   /* NULL: no checks have it */
    struct served *served;
    uint32_t n_served;
    struct dialled *dialled;
    uint32_t n_dialled;
    struct process *process; /* NULL: its threads do not run yet */
    struct timer look, expiry;
};

/* Reads the files, builds contexts for every thread that needs them, hands them over. False: the
 * old ones stay; errors has a line per mistake. */
bool tls_store_load_server(struct tls_store *s, struct served *v, int64_t wall_s,
                           struct strbuf *errors) WARN_UNUSED;
bool tls_store_load_client(struct tls_store *s, struct dialled *d, int64_t wall_s,
                           struct strbuf *errors) WARN_UNUSED;
/* Logs each line of lines behind these words: errors, and warnings (without `what`). */
void tls_store_log(const char *of, const char *name, const char *what, const struct strbuf *lines);

/* tls_watch.c */
void watch_begin(struct watch *w, uint64_t stamp);
uint64_t tls_store_stamp_server(const struct tls_server_conf *conf);
uint64_t tls_store_stamp_tickets(const struct tls_server_conf *conf);
uint64_t tls_store_stamp_client(const struct tls_client_conf *conf);

#endif
