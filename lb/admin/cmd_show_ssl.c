/* cmd_show_ssl.c - certificates in use:
 *
 *   show ssl cert            their files, as HAProxy lists them; json: with all that is known
 *   show ssl cert <file>     what one says, in HAProxy's words and order, and then some
 *   show ssl expiry [json]   a row each, sorted by when they expire */
#include "lb/admin/command.h"
#include "lb/admin/rows.h"
#include "lb/base/alloc.h"
#include "lb/net/tls_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct found {
    struct certificate_info *rows;
    uint32_t n, cap;
};

static void add_row(void *arg, const struct certificate_info *cert)
{
    struct found *f = arg;

    if (f->n == f->cap) {
        f->cap = f->cap > 0 ? 2 * f->cap : 16;
        f->rows = xrealloc(f->rows, f->cap * sizeof(f->rows[0]));
    }
    f->rows[f->n++] = *cert;
}

static void find_all(const struct command *c, struct found *out)
{
    *out = (struct found){0};
    if (c->env->ops->each_certificate != NULL)
        c->env->ops->each_certificate(c->env->ops->ctx, add_row, out);
}

static uint64_t now_us(const struct command *c)
{
    struct process_info process;

    c->env->ops->process_info(c->env->ops->ctx, &process);
    return process.now_wall_us;
}

static void add_time(struct strbuf *out, int64_t at_s)
{
    time_t at = (time_t)at_s;
    struct tm tm;
    char text[64] = "";

    if (gmtime_r(&at, &tm) != NULL)
        strftime(text, sizeof(text), "%b %e %H:%M:%S %Y GMT", &tm);
    strbuf_add_cstr(out, text);
}

static void add_names(struct strbuf *out, const struct tls_cert_info *facts, const char *prefix)
{
    for (uint32_t i = 0; i < facts->n_names; i++)
        strbuf_addf(out, "%s%s%s", i > 0 ? ", " : "", prefix, facts->names[i]);
}

/* "RSA 2048" as HAProxy writes it. */
static void add_algorithm(struct strbuf *out, const char *key_type)
{
    for (const char *p = key_type; *p != '\0'; p++)
        if (strncmp(p, " P-", 3) == 0)
            p += 2;
        else if (*p != ' ')
            strbuf_add_char(out, *p);
}

/* ---- one ---- */

static void add_listeners(struct strbuf *out, const struct found *f, struct str file)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < f->n; i++)
        if (str_eq_cstr(file, f->rows[i].cert))
            strbuf_addf(out, "%s%s%s", n++ > 0 ? ", " : "", f->rows[i].listener,
                        f->rows[i].is_default ? " (default)" : "");
}

/* Of one that is fetched: whether there is one. */
static void add_staple(struct strbuf *out, const struct certificate_info *cert, uint64_t now)
{
    if (cert->ocsp == NULL || strcmp(cert->ocsp, TLS_OCSP_FETCH) != 0)
        return;
    if (cert->ocsp_until_s <= (int64_t)(now / 1000000)) {
        strbuf_add_cstr(out, " (none yet)");
    } else if (cert->ocsp_until_s == INT64_MAX) {
        strbuf_add_cstr(out, " (good)");
    } else {
        strbuf_add_cstr(out, " (good until ");
        add_time(out, cert->ocsp_until_s);
        strbuf_add_char(out, ')');
    }
}

static void describe(const struct command *c, const struct found *f,
                     const struct certificate_info *cert)
{
    const struct tls_cert_info *facts = cert->facts;
    struct strbuf *out = c->out;

    strbuf_addf(out, "Filename: %s\nStatus: Used\nSerial: %s\nnotBefore: ", cert->cert,
                facts->serial);
    add_time(out, facts->not_before_s);
    strbuf_add_cstr(out, "\nnotAfter: ");
    add_time(out, facts->not_after_s);
    strbuf_add_cstr(out, "\nSubject Alternative Name: ");
    add_names(out, facts, "DNS:");
    strbuf_add_cstr(out, "\nAlgorithm: ");
    add_algorithm(out, facts->key_type);
    strbuf_addf(out, "\nSHA256 FingerPrint: %s\nSubject: %s\nIssuer: %s\n", facts->fingerprint,
                facts->subject, facts->issuer);
    strbuf_addf(out, "Key: %s\nOCSP: %s", cert->key, cert->ocsp != NULL ? cert->ocsp : "-");
    add_staple(out, cert, now_us(c));
    strbuf_add_cstr(out, "\nListeners: ");
    add_listeners(out, f, str_of(cert->cert));
    strbuf_addf(out, "\nDays left: %lld\nNewer files: %s\n",
                (long long)certificate_days_left(facts->not_after_s, now_us(c)),
                cert->refused ? "refused, see the log" : "none");
}

/* ---- all ---- */

static void print_json(const struct command *c, const struct found *f, struct str file)
{
    static const char *const columns[] = {"filename",  "listener",   "default",   "names",
                                          "subject",   "issuer",     "serial",    "fingerprint",
                                          "algorithm", "not_before", "not_after", "days",
                                          "key",       "ocsp",       "refused"};
    uint64_t now = now_us(c);
    struct strbuf text = {0};
    struct rows r;

    rows_begin(&r, c->out, true, columns, ARRAY_LEN(columns));
    for (uint32_t i = 0; i < f->n; i++) {
        const struct certificate_info *cert = &f->rows[i];
        if (file.len > 0 && !str_eq_cstr(file, cert->cert))
            continue;
        rows_text(&r, cert->cert);
        rows_text(&r, cert->listener);
        rows_bool(&r, cert->is_default);
        strbuf_clear(&text);
        add_names(&text, cert->facts, "");
        rows_text(&r, text.p != NULL ? text.p : "");
        rows_text(&r, cert->facts->subject);
        rows_text(&r, cert->facts->issuer);
        rows_text(&r, cert->facts->serial);
        rows_text(&r, cert->facts->fingerprint);
        rows_text(&r, cert->facts->key_type);
        rows_number(&r, cert->facts->not_before_s);
        rows_number(&r, cert->facts->not_after_s);
        rows_number(&r, certificate_days_left(cert->facts->not_after_s, now));
        rows_text(&r, cert->key);
        rows_text(&r, cert->ocsp != NULL ? cert->ocsp : "");
        rows_bool(&r, cert->refused);
    }
    rows_end(&r);
    strbuf_fini(&text);
}

/* A file is listed once, though several listeners may use it. */
static bool is_first(const struct found *f, uint32_t i)
{
    for (uint32_t k = 0; k < i; k++)
        if (strcmp(f->rows[k].cert, f->rows[i].cert) == 0)
            return false;
    return true;
}

void cmd_show_ssl_cert(struct command *c)
{
    const struct certificate_info *one = NULL;
    struct str file = {0};
    struct found f;

    if (!command_arg_is(c, 0, "json"))
        file = command_arg(c, 0);
    find_all(c, &f);
    for (uint32_t i = 0; i < f.n && one == NULL && file.len > 0; i++)
        if (str_eq_cstr(file, f.rows[i].cert))
            one = &f.rows[i];
    if (file.len > 0 && one == NULL) {
        command_refuse(c,
                       "Can't display the certificate: Not found or the certificate is a bundle!");
    } else if (command_has(c, "json")) {
        print_json(c, &f, file);
    } else if (one != NULL) {
        describe(c, &f, one);
    } else {
        strbuf_add_cstr(c->out, "# filename\n");
        for (uint32_t i = 0; i < f.n; i++)
            if (is_first(&f, i))
                strbuf_addf(c->out, "%s\n", f.rows[i].cert);
    }
    free(f.rows);
}

/* ---- when they expire ---- */

static int by_expiry(const void *a, const void *b)
{
    int64_t x = ((const struct certificate_info *)a)->facts->not_after_s,
            y = ((const struct certificate_info *)b)->facts->not_after_s;

    return (x > y) - (x < y);
}

void cmd_show_ssl_expiry(struct command *c)
{
    static const char *const columns[] = {"days", "not_after", "listener", "filename", "names"};
    uint64_t now = now_us(c);
    struct strbuf text = {0};
    struct found f;
    struct rows r;

    find_all(c, &f);
    if (f.n > 1)
        qsort(f.rows, f.n, sizeof(f.rows[0]), by_expiry);
    rows_begin(&r, c->out, command_has(c, "json"), columns, ARRAY_LEN(columns));
    for (uint32_t i = 0; i < f.n; i++) {
        const struct certificate_info *cert = &f.rows[i];
        rows_number(&r, certificate_days_left(cert->facts->not_after_s, now));
        rows_number(&r, cert->facts->not_after_s);
        rows_text(&r, cert->listener);
        rows_text(&r, cert->cert);
        strbuf_clear(&text);
        for (uint32_t k = 0; k < cert->facts->n_names; k++)
            strbuf_addf(&text, "%s%s", k > 0 ? "," : "", cert->facts->names[k]);
        rows_text(&r, text.p != NULL ? text.p : "");
    }
    rows_end(&r);
    strbuf_fini(&text);
    free(f.rows);
}
