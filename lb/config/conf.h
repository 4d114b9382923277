/* conf.h - the whole configuration after checking: what main builds a snapshot from.
 * Immutable, owned by the caller of conf_load(). */
#ifndef SLUICE_CONFIG_CONF_H
#define SLUICE_CONFIG_CONF_H

#include "lb/base/log.h"
#include "lb/base/str.h"
#include "lb/io/io.h"
#include "lb/proxy/listener_conf.h"
#include "lb/upstream/pool_conf.h"

#include <stdio.h>

enum ctl_level { CTL_USER, CTL_OPERATOR, CTL_ADMIN };

struct stats_conf {
    char *socket;       /* path */
    uint32_t mode;      /* octal file mode */
    char *user, *group; /* NULL: as the process */
    enum ctl_level level;
};

struct admin_conf {
    char *bind; /* as written; checked */
    enum ctl_level level;
    char **hosts;
    uint32_t n_hosts;
    char *token;                 /* NULL: none */
    struct tls_server_conf *tls; /* NULL: in clear */
};

/* What the `tests` block promises of one request. */
struct conf_test {
    char *request;  /* "GET http://host/path" */
    char **headers; /* "Name: value" */
    uint32_t n_headers;
    struct addr from; /* len 0: not said */
    char *pool_name;  /* expected; NULL: not said */
    uint32_t pool;    /* index, where pool_name is said */
    uint32_t status;  /* 0: not said */
    char *location;   /* NULL: not said */
    const char *file;
    int line;
};

/* Of a protection: taken where it can be had, never, or a start without it fails. */
enum hardening_wish { HARDENING_AUTO, HARDENING_OFF, HARDENING_REQUIRED };

enum hardening_capabilities { HARDENING_FEW, HARDENING_NONE, HARDENING_ALL };

struct hardening_conf {
    char **paths; /* files and folders beside those that the configuration names */
    uint32_t n_paths;
    bool no_new_privileges, dumpable, close_inherited, exec;
    enum hardening_wish landlock, seccomp, keeper;
    enum hardening_capabilities capabilities;
};

struct conf {
    uint32_t workers; /* 0: one per usable core */
    enum io_engine_kind io;
    bool pin;
    char *user, *group; /* NULL: stay */
    char *state_file;   /* NULL: none */
    uint32_t state_max_age_ms;
    struct hardening_conf hardening;
    struct stats_conf *stats;
    uint32_t n_stats;
    struct admin_conf *admin; /* NULL: no admin address */
    struct {
        enum log_level level;
        char *output; /* stderr, stdout, off, /path, syslog:ADDR */
    } log;
    struct {
        char *servers; /* NULL: /etc/resolv.conf */
        uint32_t refresh_ms, timeout_ms;
    } resolver;
    struct {
        uint32_t delay_ms, deadline_ms;
    } drain;
    char *overlay;            /* its path; NULL: none */
    uint32_t max_connections; /* of the process; 0: by the limits found at start */
    struct pool_conf *pools;
    uint32_t n_pools;
    struct listener_conf *listeners;
    uint32_t n_listeners;
    struct conf_test *tests;
    uint32_t n_tests;
    void *arena; /* config's own */
};

/* Reads and checks a file. On mistakes NULL, with one line per mistake appended to *errors
 * (`FILE:LINE: error: SETTING: found, expected`); warnings are appended to *errors too where the
 * result is not NULL. Never binds, never asks DNS. Certificates and files named in it are opened.
 */
struct conf *conf_load(const char *path, struct strbuf *errors);
/* The same from memory, for tests; name stands in the messages. No text makes us open a file. */
struct conf *conf_load_text(const char *name, const char *text, struct strbuf *errors);
/* A text that we have made ourselves, for `sluice quick`: its files are those of the working
 * folder.
 */
struct conf *conf_load_made(const char *name, const char *text, struct strbuf *errors);
void conf_free(struct conf **c);
/* The effective configuration with every default, in the configuration language (-T, show config).
 */
void conf_dump(const struct conf *c, struct strbuf *out);
/* The same for somebody's eyes: secrets are "…". */
void conf_dump_hiding(const struct conf *c, struct strbuf *out);
void conf_dump_pool_hiding(const struct pool_conf *p, struct strbuf *out);
/* The same of one pool or listener alone: equal texts mean the same. What is in files that it names
 * is not a part of it. */
void conf_dump_pool(const struct pool_conf *p, struct strbuf *out);
void conf_dump_listener(const struct listener_conf *l, struct strbuf *out);
/* Their TLS alone; nothing: there is none. Of checks: whether their own or the pool's. */
void conf_dump_pool_tls(const struct pool_conf *p, struct strbuf *out);
void conf_dump_check_tls(const struct pool_conf *p, struct strbuf *out);
void conf_dump_listener_tls(const struct listener_conf *l, struct strbuf *out);
/* Global settings that differ and that only a restart can change: a line "SETTING" each, or, where
 * b has it in its text, "SETTING FILE:LINE". */
void conf_restart_changes(const struct conf *a, const struct conf *b, struct strbuf *names);
/* Whether this setting at the top, with all beneath it, says the same in both. */
bool conf_same_setting(const struct conf *a, const struct conf *b, const char *path);
/* Every setting with its default and help, from the schema: etc/sluice.conf and the reference. */
void conf_print_sample(FILE *out);
void conf_print_reference(FILE *out); /* Markdown */
void conf_print_manual(FILE *out);    /* sluice.conf(5) */

#endif
