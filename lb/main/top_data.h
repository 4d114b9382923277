/* top_data.h - what `sluice top` knows: read out of the answers of the stats socket. Pure.
 *
 * The answers come from outside (it may be HAProxy's socket), so what is missing is empty and what
 * is odd is left out. */
#ifndef SLUICE_MAIN_TOP_DATA_H
#define SLUICE_MAIN_TOP_DATA_H

#include "lb/base/limits.h"
#include "lb/base/str.h"

#define TOP_ROWS_MAX    70000 /* rows of `show stat`; more are left out */
#define TOP_WORKERS_MAX 64    /* shown; the others count in the mean */
#define TOP_EVENTS_MAX  64

enum top_type { TOP_LISTENER, TOP_POOL, TOP_BACKEND };

struct top_row {
    enum top_type type;
    char pool[LIMIT_NAME_LEN + 1]; /* or listener */
    char name[LIMIT_NAME_LEN + 1];
    char status[32], address[80], mode[8], algorithm[24];
    char check[24], seen[LIMIT_CHECK_DESC + 1]; /* "L7OK", "HTTP 200" */
    uint64_t since_s, sessions, sessions_max, limit, queued, total, bytes, weight, up, backups_up;
    uint64_t rate; /* requests (tcp: sessions) per second */
    uint64_t connect_errors, response_errors, answers_5xx, retries, check_fails, downs, downtime_s;
    uint64_t check_ms, rise, fall, health;
    bool is_backup;
    int64_t bytes_rate;     /* per second, -1: not known yet */
    int64_t p50_us, p99_us; /* -1: not known */
};

struct top_data {
    bool valid; /* something has been read */
    char version[32], node[65], product[32];
    uint64_t uptime_s, connections, connections_max, connection_rate, requests, tls_rate,
        bytes_rate, handled_rate, pid;
    bool stopping;
    uint32_t n_workers, n_busy;
    uint64_t busy_ms[TOP_WORKERS_MAX], idle_ms[TOP_WORKERS_MAX];
    uint8_t busy_percent[TOP_WORKERS_MAX]; /* since the data before, or since the start */
    struct top_row *rows;
    uint32_t n_rows;
    char *events[TOP_EVENTS_MAX]; /* lines, the oldest first */
    uint32_t n_events;
    uint64_t taken_us; /* when, by the caller's clock */
};

/* The question; the answers are read in this order. events: how many; object: whose, or NULL. */
void top_data_ask(struct strbuf *out, uint32_t events, const char *object);
/* Reads them. before: the data of the question before (rates are made of both), or NULL. False:
 * this is no answer of a load balancer's; *out is empty then. */
bool top_data_read(struct str answers, const struct top_data *before, uint64_t now_us,
                   struct top_data *out) WARN_UNUSED;
void top_data_fini(struct top_data *d);

uint64_t top_row_errors(const struct top_row *r);
/* A name as a word of a command: blanks, semicolons and backslashes are escaped. */
void top_add_word(struct strbuf *out, const char *name);

#endif
