/* check_tls.c - what TLS asks beyond the single settings: of listeners, of pools and of their
 * checks; and what plain listeners say of https. */
#include "lb/base/limits.h"
#include "lb/config/check_priv.h"
#include "lb/config/value.h"

#include "lb/base/alloc.h"
#include "lb/net/tls.h"
#include "lb/net/tls_files.h"
#include "lb/net/tls_ticket.h"
#include "lb/net/tls_ticket_file.h"

#include <libconfig.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { TLS_1_2 = 0x0303, TLS_1_3 = 0x0304 };
#define YEAR_S (8760u * 3600)

static const char *version_name(uint16_t version)
{
    return version == TLS_1_2 ? "1.2" : "1.3";
}

static bool has(char *const *names, uint32_t n, const char *name)
{
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* ---- files ---- */

/* The tls group that files are read for. */
struct owner {
    const struct check *c;
    const char *list, *name, *of; /* "listeners", "web", "tls"; name NULL: the list is one thing */
    const config_setting_t *tls;
    const struct tls_server_conf *server; /* or NULL */
};

/* Settings of a certificate are told at its own line. */
static uint32_t line_of(const struct owner *o, struct str place, const char *setting, bool *is_cert)
{
    const struct tls_server_conf *server = o->server;
    char text[4096 + 16];

    *is_cert = server != NULL && (strcmp(setting, "cert") == 0 || strcmp(setting, "key") == 0 ||
                                  strcmp(setting, "ocsp") == 0);
    for (uint32_t i = 0; *is_cert && i < server->n_certs; i++) {
        snprintf(text, sizeof(text), "%s:%d", server->certs[i].file, server->certs[i].line);
        if (str_eq_cstr(place, text))
            return check_line(check_element(o->tls, "certificates", i), setting);
    }
    return check_line(o->tls, setting);
}

static void add_owner(const struct owner *o, struct strbuf *out)
{
    if (o->name != NULL)
        strbuf_addf(out, "%s[%s].%s", o->list, o->name, o->of);
    else
        strbuf_addf(out, "%s.%s", o->list, o->of);
}

/* `FILE:LINE: error: SETTING: text`, as lb/net tells it. */
static void tell_line(const struct owner *o, struct str line)
{
    static const char *const kinds[] = {": error: ", ": warning: "};
    char setting[64] = "";
    struct strbuf path = {0};
    bool is_cert;

    for (enum problem_kind kind = PROBLEM_ERROR; kind <= PROBLEM_WARNING; kind++) {
        const char *at = memmem(line.p, line.len, kinds[kind], strlen(kinds[kind]));
        if (at == NULL)
            continue;
        struct str place = {line.p, (size_t)(at - line.p)};
        struct str rest = {at + strlen(kinds[kind]), line.len - place.len - strlen(kinds[kind])};
        const char *colon = memmem(rest.p, rest.len, ": ", 2);
        if (str_starts(rest, STR("tls.")))
            rest = (struct str){rest.p + 4, rest.len - 4};
        if (colon != NULL)
            snprintf(setting, sizeof(setting), "%.*s", (int)(colon - rest.p), rest.p);
        struct str text =
            colon != NULL ? (struct str){colon + 2, rest.len - (size_t)(colon + 2 - rest.p)} : rest;
        uint32_t number = line_of(o, place, setting, &is_cert);
        add_owner(o, &path);
        strbuf_addf(&path, "%s%s%s", is_cert ? ".certificates" : "", setting[0] != '\0' ? "." : "",
                    setting);
        problems_add(o->c->problems, kind, number, path.p, "%s" STR_FMT,
                     kind == PROBLEM_ERROR && str_starts(text, STR("\"")) ? "found " : "",
                     STR_ARG(text));
        strbuf_fini(&path);
        return;
    }
    add_owner(o, &path);
    problems_add(o->c->problems, PROBLEM_ERROR, check_line(o->tls, ""), path.p, STR_FMT,
                 STR_ARG(line));
    strbuf_fini(&path);
}

static void tell_lines(const struct owner *o, struct strbuf *lines)
{
    for (struct str rest = strbuf_str(lines), line; rest.len > 0;) {
        line = str_word(&rest, "\n");
        if (line.len > 0)
            tell_line(o, line);
    }
    strbuf_clear(lines);
}

/* Contexts are built to see whether they can be, and thrown away. */
static struct tls_env *scratch_env(const struct check *c, struct strbuf *errors)
{
    if (*c->env == NULL)
        *c->env = tls_env_new(errors);
    return *c->env;
}

static bool is_whole(const struct tls_server_conf *tls)
{
    for (uint32_t i = 0; i < tls->n_certs; i++)
        if (tls->certs[i].cert == NULL || tls->certs[i].key == NULL)
            return false;
    return tls->n_certs > 0;
}

/* A text from memory makes us open no file. */
static void check_server_files(const struct owner *o, bool sound)
{
    const struct check *c = o->c;
    const struct tls_server_conf *tls = o->server;
    struct tls_keyring *keys = NULL;
    struct tls_server *server = NULL;
    struct strbuf lines = {0};

    if (c->own->dir == NULL || !is_whole(tls))
        return;
    struct tls_server_files *files = tls_server_files_read(tls, (int64_t)time(NULL), &lines);
    tell_lines(o, &lines);
    keys = tls_keyring_new();
    if (tls->ticket_keys != NULL && !tls_ticket_file_read(tls, keys, &lines))
        sound = false;
    tell_lines(o, &lines);
    if (files != NULL && sound && scratch_env(c, &lines) != NULL)
        server = tls_server_new(*c->env, tls, files, keys, &lines);
    tell_lines(o, &lines);
    if (server != NULL)
        tls_server_unref(&server);
    tls_server_files_free(&files);
    tls_keyring_free(&keys);
    strbuf_fini(&lines);
}

static void check_client_files(const struct check *c, uint32_t p, const struct tls_client_conf *tls,
                               const char *of, bool sound)
{
    const struct pool_conf *pool = &c->own->conf.pools[p];
    const config_setting_t *setting = check_pool_setting(c, p);
    struct tls_client *client = NULL;
    struct strbuf lines = {0};
    struct owner o = {c, "pools", pool->name, of, check_member(setting, "tls"), NULL};

    if (strcmp(of, "health.tls") == 0)
        o.tls = check_member(check_member(setting, "health"), "tls");
    if (c->own->dir == NULL || (tls->cert == NULL) != (tls->key == NULL))
        return;
    struct tls_client_files *files = tls_client_files_read(tls, (int64_t)time(NULL), &lines);
    tell_lines(&o, &lines);
    if (files != NULL && sound && scratch_env(c, &lines) != NULL)
        client = tls_client_new(*c->env, tls, files, pool->n_backends, &lines);
    tell_lines(&o, &lines);
    if (client != NULL)
        tls_client_unref(&client);
    tls_client_files_free(&files);
    strbuf_fini(&lines);
}

/* ---- listeners ---- */

static bool given(const struct check *c, uint32_t i, const char *setting)
{
    return check_member(check_member(check_listener_setting(c, i), "tls"), setting) != NULL;
}

static void use_absolute(const struct check *c, struct tls_server_conf *tls)
{
    for (uint32_t k = 0; k < tls->n_certs; k++) {
        tls->certs[k].cert = check_absolute(c, tls->certs[k].cert);
        tls->certs[k].key = check_absolute(c, tls->certs[k].key);
        if (tls->certs[k].ocsp != NULL && strcmp(tls->certs[k].ocsp, TLS_OCSP_FETCH) != 0)
            tls->certs[k].ocsp = check_absolute(c, tls->certs[k].ocsp);
    }
    tls->client_ca = check_absolute(c, tls->client_ca);
    tls->crl = check_absolute(c, tls->crl);
    tls->ticket_keys = check_absolute(c, tls->ticket_keys);
}

/* Clients may choose h2 in mode http unless it is said otherwise. */
static void check_alpn(const struct check *c, uint32_t i)
{
    struct listener_conf *l = &c->own->conf.listeners[i];
    struct tls_server_conf *tls = l->tls;

    if (l->mode == MODE_HTTP && !given(c, i, "alpn")) {
        tls->n_alpn = 2;
        tls->alpn = conf_arena_alloc(&c->own->arena, 2 * sizeof(*tls->alpn));
        tls->alpn[0] = conf_arena_str(&c->own->arena, STR("h2"));
        tls->alpn[1] = conf_arena_str(&c->own->arena, STR("http/1.1"));
    }
    for (uint32_t k = 0; k < tls->n_alpn; k++) {
        const char *name = tls->alpn[k];
        if (has(tls->alpn, k, name))
            listener_error(c, i, "tls.alpn", "found \"%s\" twice, expected each name once", name);
        else if (l->mode == MODE_HTTP && strcmp(name, "h2") != 0 && strcmp(name, "http/1.1") != 0)
            listener_error(c, i, "tls.alpn",
                           "found \"%s\", expected \"h2\" and \"http/1.1\" only in mode \"http\"",
                           name);
    }
}

static void check_versions(const struct check *c, uint32_t i)
{
    const struct tls_server_conf *tls = c->own->conf.listeners[i].tls;
    uint16_t from = tls->min_version, to = tls->max_version;

    if (from == 0)
        from = tls->profile == TLS_MODERN ? TLS_1_3 : TLS_1_2;
    if (to != 0 && from > to)
        listener_error(c, i, "tls.max_version",
                       "found \"%s\", expected at least the oldest version, which is \"%s\"%s",
                       version_name(to), version_name(from),
                       tls->min_version == 0 ? " in this profile" : "");
    if (tls->ciphers != NULL && from == TLS_1_3)
        listener_warning(c, i, "tls.ciphers",
                         "has no effect: they are of TLS 1.2, and the oldest version is \"1.3\"; "
                         "ciphersuites are those of TLS 1.3");
    if (tls->ciphersuites != NULL && to == TLS_1_2)
        listener_warning(c, i, "tls.ciphersuites",
                         "has no effect: they are of TLS 1.3, and the newest version is \"1.2\"");
}

static void check_client_certificates(const struct check *c, uint32_t i)
{
    static const char *const needs_verify[] = {"client_ca", "crl"};
    const struct tls_server_conf *tls = c->own->conf.listeners[i].tls;

    if (tls->verify != TLS_VERIFY_OFF) {
        if (!given(c, i, "client_ca"))
            listener_error(c, i, "tls.client_ca",
                           "not found beside verify = \"%s\", expected the file with the "
                           "authorities of clients",
                           tls->verify == TLS_VERIFY_REQUIRED ? "required" : "optional");
        return;
    }
    for (size_t k = 0; k < 2; k++)
        if (given(c, i, needs_verify[k])) {
            char setting[32];
            snprintf(setting, sizeof(setting), "tls.%s", needs_verify[k]);
            listener_error(c, i, setting,
                           "found beside verify = \"off\", expected \"optional\" or \"required\" "
                           "there");
        }
}

static void check_tickets(const struct check *c, uint32_t i)
{
    const struct listener_conf *l = &c->own->conf.listeners[i];

    if (!l->tls->tickets && given(c, i, "ticket_keys"))
        listener_error(c, i, "tls.ticket_keys",
                       "found beside tickets = false, expected one of the "
                       "two");
    if (l->tls->early_data && l->mode == MODE_TCP)
        listener_error(c, i, "tls.early_data",
                       "found true in mode \"tcp\", expected it in mode \"http\" only: bytes that "
                       "somebody may send again are safe only where requests can be told apart");
    else if (l->tls->early_data && !l->tls->tickets)
        listener_error(c, i, "tls.early_data",
                       "found beside tickets = false, expected tickets: it comes with them");
    else if (l->tls->early_data && l->tls->max_version == TLS_1_2)
        listener_error(c, i, "tls.early_data",
                       "found beside max_version = \"1.2\", expected \"1.3\" there");
    if (l->tls->kernel && l->mode == MODE_TCP)
        listener_error(c, i, "tls.kernel",
                       "found true in mode \"tcp\", expected it in mode \"http\" only, where files "
                       "are sent");
    else if (l->tls->kernel && l->tls->max_version == TLS_1_2)
        listener_error(c, i, "tls.kernel",
                       "found beside max_version = \"1.2\", expected \"1.3\" there");
}

void check_tls_listener(const struct check *c, uint32_t i)
{
    struct listener_conf *l = &c->own->conf.listeners[i];

    uint32_t mistakes = c->problems->errors;

    if (l->tls == NULL || l->mode == MODE_MISTAKEN)
        return;
    use_absolute(c, l->tls);
    check_alpn(c, i);
    check_versions(c, i);
    check_client_certificates(c, i);
    check_tickets(c, i);
    const struct owner o = {
        c, "listeners", l->name, "tls", check_member(check_listener_setting(c, i), "tls"), l->tls};
    check_server_files(&o, c->problems->errors == mistakes);
}

/* ---- the admin address ---- */

void check_tls_admin(const struct check *c)
{
    struct tls_server_conf *tls = c->own->conf.admin->tls;
    const config_setting_t *setting = check_member(check_member(c->root, "admin"), "tls");
    const struct owner o = {c, "admin", NULL, "tls", setting, tls};
    bool sound = true;

    use_absolute(c, tls);
    if (tls->verify != TLS_VERIFY_OFF && tls->client_ca == NULL) {
        sound = false;
        problems_add(c->problems, PROBLEM_ERROR, check_line(setting, "verify"),
                     "admin.tls.client_ca",
                     "not found beside verify = \"%s\", expected the file with the authorities of "
                     "clients",
                     tls->verify == TLS_VERIFY_REQUIRED ? "required" : "optional");
    } else if (tls->verify == TLS_VERIFY_OFF && tls->client_ca != NULL) {
        problems_add(c->problems, PROBLEM_ERROR, check_line(setting, "client_ca"),
                     "admin.tls.client_ca",
                     "found beside verify = \"off\", expected \"optional\" or \"required\" "
                     "there");
    }
    check_server_files(&o, sound);
}

void check_https(const struct check *c, uint32_t i)
{
    const struct listener_conf *l = &c->own->conf.listeners[i];
    const struct hsts_conf *hsts = l->http.hsts;

    if (l->tls != NULL && l->http.redirect_https != 0)
        listener_error(c, i, "redirect_https",
                       "found on a listener with tls, expected it on one without: its clients use "
                       "https already");
    if (hsts == NULL)
        return;
    if (l->tls == NULL)
        listener_error(c, i, "hsts",
                       "found on a listener without tls, where browsers ignore it, expected it on "
                       "the one with tls");
    if (hsts->preload && (!hsts->subdomains || hsts->max_age_s < YEAR_S))
        listener_error(c, i, "hsts.preload",
                       "found true, expected it with subdomains = true and a max_age of at least "
                       "\"8760h\" only, as lists of browsers want it");
}

/* ---- pools ---- */

/* HTTP/1.1 is what a pool of HTTP/2 may fall back to, never the other way. */
static bool may_offer(const struct pool_conf *pool, const char *protocol)
{
    return strcmp(protocol, "http/1.1") == 0 ||
           (pool->protocol == PROTOCOL_HTTP2 && strcmp(protocol, "h2") == 0);
}

/* of: "tls" or "health.tls". */
static void check_client(const struct check *c, uint32_t p, struct tls_client_conf *tls,
                         const char *of, bool http)
{
    const struct pool_conf *pool = &c->own->conf.pools[p];
    uint32_t mistakes = c->problems->errors;
    char setting[32];

    tls->ca = check_absolute(c, tls->ca);
    tls->cert = check_absolute(c, tls->cert);
    tls->key = check_absolute(c, tls->key);
    snprintf(setting, sizeof(setting), "%s.%s", of, tls->cert != NULL ? "key" : "cert");
    if ((tls->cert != NULL) != (tls->key != NULL))
        pool_error(c, p, setting, "not found beside %s, expected both or none",
                   tls->cert != NULL ? "cert" : "key");
    snprintf(setting, sizeof(setting), "%s.max_version", of);
    if (tls->max_version != 0 && tls->min_version > tls->max_version)
        pool_error(c, p, setting, "found \"%s\", expected at least min_version, which is \"%s\"",
                   version_name(tls->max_version), version_name(tls->min_version));
    snprintf(setting, sizeof(setting), "%s.ca", of);
    if (!tls->verify && tls->ca != NULL)
        pool_error(c, p, setting, "found beside verify = false, expected one of the two");
    snprintf(setting, sizeof(setting), "%s.alpn", of);
    for (uint32_t k = 0; http && k < tls->n_alpn; k++)
        if (!may_offer(pool, tls->alpn[k]))
            pool_error(c, p, setting, "found \"%s\", expected %s", tls->alpn[k],
                       pool->protocol == PROTOCOL_HTTP2
                           ? "\"h2\" and \"http/1.1\", as protocol is \"http2\""
                           : "\"http/1.1\", as protocol is \"http1\"");
    check_client_files(c, p, tls, of, c->problems->errors == mistakes);
}

static bool is_over_stream(enum check_type type)
{
    return type != CHECK_TYPE_NONE && type != CHECK_TYPE_EXEC && !check_type_is_dgram(type);
}

/* Checks go as the connections do, unless they say otherwise. */
void check_tls_pool(const struct check *c, uint32_t p)
{
    struct pool_conf *pool = &c->own->conf.pools[p];
    struct health_conf *health = &pool->health;

    if (pool->tls != NULL)
        check_client(c, p, pool->tls, "tls", pool->mode == MODE_HTTP);
    if (health->tls != NULL)
        check_client(c, p, health->tls, "health.tls", false);
    else if (!health->plain)
        health->tls = pool->tls;
    health->own_tls = health->tls != NULL && pool->tls == NULL;
    check_idle(c, p, "health.starttls", check_type_starts_tls(health->type) && health->own_tls,
               "health.type = \"postgres\", \"mysql\" or \"smtp\", and health.tls in a pool "
               "without tls");
    if (health->own_tls && !is_over_stream(health->type)) {
        struct strbuf type = {0};
        value_print(schema_at("pools.health.type"), pool, &type);
        pool_error(c, p, "health.tls",
                   "found beside health.type = %s, expected a type that speaks over a connection",
                   type.p);
        strbuf_fini(&type);
    }
    if (health->type == CHECK_TYPE_TLS && health->tls == NULL)
        pool_error(c, p, "health.type", "found \"tls\" %s, expected tls or health.tls beside it",
                   health->plain ? "beside health.tls = false" : "in a pool without tls");
}
