/* tls_store_priv.h - what tls_store.c and tls_watch.c share. */
#ifndef SLUICE_MAIN_TLS_STORE_PRIV_H
#define SLUICE_MAIN_TLS_STORE_PRIV_H

#include "lb/config/conf.h"
#include "lb/io/timer.h"

struct pool_conf;
struct strbuf;
struct tls_client;
struct tls_client_conf;
struct tls_client_files;
struct tls_contexts;
struct tls_keyring;
struct tls_server;
struct tls_server_conf;
struct tls_server_files;

/* Files that belong together, by what stat says of them. */
struct watch {
    uint64_t read; /* when they were read last, whatever came of it */
    uint64_t seen; /* when they were looked at last */
    bool refused;  /* what came of it was no good */
};

struct tls_staples; /* tls_staple.c */

/* A listener. */
struct served {
    const struct listener_conf *conf;
    uint32_t index;                 /* its number */
    bool fresh, own_keys;           /* tls_plan.c: made for this plan */
    struct tls_server_files *files; /* of the contexts in use */
    struct tls_keyring *keys;
    struct watch certs, ticket_file;
    uint64_t rotate_at_ms;       /* random keys */
    struct tls_staples *staples; /* that are fetched; NULL: none */
};

/* A pool, or its checks, or both. */
struct dialled {
    const struct tls_client_conf *conf;
    const struct pool_conf *pool;
    uint32_t index;                 /* its number */
    bool fresh;                     /* tls_plan.c: made for this plan */
    bool workers, health;           /* who uses it */
    struct tls_client_files *files; /* of the contexts in use */
    struct watch certs;
};

/* The admin address. */
struct admin_tls {
    struct listener_conf conf; /* name and tls only */
    struct served served;
    struct tls_server *server; /* the latest */
};

struct tls_store {
    uint32_t n_workers;
    struct tls_contexts **workers; /* of each NULL: nothing there has had TLS yet */
    struct tls_contexts *health;   /* likewise */
    struct served *served;
    uint32_t n_served;
    struct dialled *dialled;
    uint32_t n_dialled;
    struct admin_tls *admin;      /* NULL: it is in clear */
    struct admin_tls *next_admin; /* of a reload that is being prepared */
    struct tls_env *admin_env;    /* for both; NULL: it has never had TLS */
    struct process *process;      /* NULL: its threads do not run yet */
    struct timer look, expiry;
    struct tls_keyring **old_keys; /* of listeners that are gone */
    uint32_t n_old_keys;
    struct resolver *resolver; /* of OCSP responders; made when it is needed */
    uint32_t fetches;          /* that are under way, or about to be freed */
};

/* Contexts of one listener or pool, one per thread, health last: made all or none. */
struct tls_batch {
    struct tls_server **servers;
    struct tls_client **clients;
    uint32_t n;
};
void tls_batch_init(struct tls_batch *b, const struct tls_store *s);
void tls_batch_free(struct tls_batch *b);
/* On the thread of this number: what the batch has for it is in use from now on. */
void tls_batch_put(const struct tls_store *s, uint32_t number, struct tls_batch *b,
                   uint32_t thread);
bool tls_store_make_servers(struct tls_store *s, const struct tls_server_conf *conf,
                            struct tls_server_files *files, struct tls_keyring *keys,
                            struct tls_batch *b, struct strbuf *errors) WARN_UNUSED;
bool tls_store_make_clients(struct tls_store *s, const struct dialled *d,
                            struct tls_client_files *files, struct tls_batch *b,
                            struct strbuf *errors) WARN_UNUSED;
/* Makes what threads need that have had no TLS so far. */
bool tls_store_make_envs(struct tls_store *s, const struct conf *conf,
                         struct strbuf *errors) WARN_UNUSED;
/* Hands over to each thread from this one on, by messages where they run. */
void tls_store_publish(struct tls_store *s, uint32_t index, struct tls_batch *b, uint32_t first);

/* Reads the files, builds contexts for every thread that needs them, hands them over. False: the
 * old ones stay; errors has a line per mistake. */
bool tls_store_load_server(struct tls_store *s, struct served *v, int64_t wall_s,
                           struct strbuf *errors) WARN_UNUSED;
bool tls_store_load_client(struct tls_store *s, struct dialled *d, int64_t wall_s,
                           struct strbuf *errors) WARN_UNUSED;
/* The same files, to which a staple has come. */
bool tls_store_publish_server(struct tls_store *s, struct served *v,
                              struct strbuf *errors) WARN_UNUSED;
/* Logs each line of lines behind these words: errors, and warnings (without `what`). */
void tls_store_log(const char *of, const char *name, const char *what, const struct strbuf *lines);

/* tls_staple.c */
void tls_staples_start(struct tls_store *s,
                       struct served *v); /* no effect where none are fetched */
/* The files were read again. */
void tls_staples_look(struct served *v);
void tls_staples_stop(struct served *v);

/* tls_admin.c */
bool tls_admin_init(struct tls_store *s, const struct conf *conf, int64_t wall_s,
                    struct strbuf *errors) WARN_UNUSED;
/* Reads again; connections from now on have what is new. */
bool tls_admin_load(struct tls_store *s, int64_t wall_s, struct strbuf *errors) WARN_UNUSED;
void tls_admin_fini(struct tls_store *s);

/* tls_watch.c */
void watch_begin(struct watch *w, uint64_t stamp);
uint64_t tls_store_stamp_server(const struct tls_server_conf *conf);
uint64_t tls_store_stamp_tickets(const struct tls_server_conf *conf);
uint64_t tls_store_stamp_client(const struct tls_client_conf *conf);

#endif
