/* checker.h - the health thread: schedules checks, turns their results into verdicts, writes the
 * operational part of the backend table, and rebuilds what is derived from it.
 * Everything here but start and stop may be called from any thread: it posts a message. */
#ifndef SLUICE_HEALTH_CHECKER_H
#define SLUICE_HEALTH_CHECKER_H

#include "health/health_conf.h"
#include "health/outlier.h"
#include "health/table.h"
#include "lb/io/io.h"

struct agent_set;
struct checker;
struct epoch_domain;
struct loop;
struct tls_client;

/* What the checker needs from those above it. Called on the health thread. */
struct checker_hooks {
    void *ctx;
    /* Something that picks depend on changed in this pool: rebuild and publish its view. */
    void (*pool_changed)(void *ctx, uint32_t pool);
    /* A backend went down (operationally): pools with on_down = "close" end its sessions. */
    void (*backend_down)(void *ctx, uint32_t slot);
    /* The first round is over: every checked backend has had a verdict (or its timeout). */
    void (*ready)(void *ctx);
};

/* Who runs programs for checks of type exec. On the health thread; never waits. */
struct checker_programs {
    void *ctx;
    /* A stream whose other end says how the program of that pool's check ended (check_exec.c), and
     * which ends it by being closed; or -errno. */
    int (*run)(void *ctx, const char *pool, const char *backend, const struct addr *addr);
};

/* Per backend; copied, but for the strings in it, which stay until checker_free(). */
struct checker_pool_conf {
    struct health_conf health;
    struct outlier_conf ejection;
    uint32_t slow_start_ms;
    enum { CHECK_PROXY_OFF, CHECK_PROXY_V1, CHECK_PROXY_V2 } send_proxy;
    /* What is spoken there, as far as that is known: so are checks, but where they have an address
     * or a port of their own. */
    enum { CHECK_SPEAKS_ANY, CHECK_SPEAKS_HTTP1, CHECK_SPEAKS_HTTP2 } speaks;
    /* Where health.tls is set: the context to use, which is another one when its files have
     * changed; the health thread's own. Sessions are not resumed. */
    struct tls_client *const *tls;
    /* Of the backend, as it is configured: whom its certificate is for, unless health.tls says.
     * NULL: its address is a literal one. */
    const char *host;
    const struct agent_conf *agent;          /* NULL: nobody is asked */
    const struct agent_set *agent_set;       /* copied; NULL: nothing was set */
    const struct checker_programs *programs; /* NULL: nobody runs any */
    const char *pool, *backend;              /* their names, for these */
    const char *cgi_root;                    /* folder of the application's scripts; NULL: none */
};

/* The caller owns `loop` (initialised with its engine) and runs it in a thread of its own choosing,
 * so that tests can run the checker on a simulated engine. */
struct checker *checker_new(struct loop *loop, struct backend_table *table,
                            struct epoch_domain *epochs, const struct checker_hooks *hooks);
void checker_stop(struct checker *c); /* on its loop: no new checks; running ones are cancelled */
bool checker_stopped(const struct checker *c); /* nothing armed any more */
void checker_free(struct checker **c);

/* From one thread (control). Before the loop runs, or later: the slot is checked at once. A slot
 * that is there already takes the new conf; what is known of it stays. Index and pool are set. */
void checker_add(struct checker *c, struct backend_slot *s, const struct checker_pool_conf *conf);
/* A new one of which something is known, from a former process: what its checks said (up, down or
 * unknown, whatever its agent said), what its agent said last, and what people see of it; copied.
 * doubt: that is old, and the first check decides; else it counts as if we had seen it. */
struct checker_known {
    enum oper_state oper;
    bool agent_off; /* it was not asked */
    const struct backend_info *info;
    bool doubt;
};
void checker_add_known(struct checker *c, struct backend_slot *s,
                       const struct checker_pool_conf *conf, const struct checker_known *known);
void checker_remove(struct checker *c, struct backend_slot *s);
void checker_begin(struct checker *c); /* all slots are added: the first round starts */

/* From workers: a connect to this backend failed (err: errno; ETIMEDOUT for our timeout; why: what
 * an errno does not say, of a TLS handshake, "": it does). Failures
 * count toward `fall`, all but the last one, which is a check's: one is run at once. So backends
 * without checks are never taken down by failures; nothing would bring them up again. Cheap to
 * call in a storm (coalesced per slot, bounded). */
void checker_report_failure(struct checker *c, struct backend_slot *s, int err, const char *why);
/* From workers: a connect to it has worked, at this address; told where it is another one of its
 * name than before. Costs a load or two when all is well. */
void checker_report_connect(struct checker *c, struct backend_slot *s, const struct addr *addr);
/* From workers, mode http: how a request ended at this backend. Not ok: 5xx, a bad response, none,
 * a failed connect. Returns the failures in a row, with this one (ok: 0). When there are as many as
 * conf.ejection says, the health thread is asked to eject the backend: it is, unless too many are
 * or no other backend of its pool is left. No traffic for a time, then it is back with slow start.
 * Costs a load when all is well. */
uint32_t checker_report_result(struct checker *c, struct backend_slot *s, bool ok);
/* From control: admin bits, weight or address changed: rebuild derived things. */
void checker_touch(struct checker *c, struct backend_slot *s);
/* `set server b/s health up|stopping|down`. Checks go on and may overrule it. Stopping: as down,
 * but connections stay where on_down would close them. */
enum checker_force { FORCE_UP, FORCE_STOPPING, FORCE_DOWN };
void checker_force(struct checker *c, struct backend_slot *s, enum checker_force to);
/* `enable|disable health b/s`: without checks the present state stays. */
void checker_enable(struct checker *c, struct backend_slot *s, bool on);
/* `enable|disable agent b/s`: what it said last stays, but that it is down. */
void checker_enable_agent(struct checker *c, struct backend_slot *s, bool on);
/* `set server b/s agent-addr|agent-port|agent-send`; copied. What it said last stays. */
void checker_set_agent(struct checker *c, struct backend_slot *s, const struct agent_set *set);
/* `set server b/s agent up|down`: as if it had said so. */
void checker_force_agent(struct checker *c, struct backend_slot *s, bool up);

#endif
