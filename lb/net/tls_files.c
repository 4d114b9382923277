/* tls_files.c - see tls_files.h. Runs on the control thread only, in OpenSSL's default context:
 * what it parses is thrown away but for the facts and the files' contents. */
#include "lb/base/alloc.h"
#include "lb/base/named_file.h"
#include "lb/net/tls_ocsp.h"
#include "lb/net/tls_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX (4u << 20)
#define SOON_S         (14 * 86400) /* a certificate that ends so soon is warned of */

struct cert_file {
    struct tls_pair_files pair;
    struct tls_cert_info info;
    bool kept; /* from an earlier reading: what is there now will not do */
};

struct tls_server_files {
    struct cert_file *certs;
    uint32_t n_certs;
    struct tls_blob client_ca, crl;
    bool lists_kept;
};

struct tls_client_files {
    struct cert_file own;
    struct tls_blob ca;
};

/* Where a mistake is. */
struct place {
    const char *file;
    int line;
    struct strbuf *errors;
    bool failed;
};

static void mistake(struct place *p, const char *setting, const char *path, const char *what)
{
    p->failed = true;
    strbuf_addf(p->errors, "%s:%d: error: %s: \"%s\": %s\n", p->file ? p->file : "?", p->line,
                setting, path, what);
}

static void warning(struct place *p, const char *setting, const char *path, const char *what)
{
    strbuf_addf(p->errors, "%s:%d: warning: %s: \"%s\": %s\n", p->file ? p->file : "?", p->line,
                setting, path, what);
}

/* ---- files ---- */

static void free_blob(struct tls_blob *b)
{
    if (b->data != NULL)
        OPENSSL_cleanse(b->data, b->len);
    free(b->data);
    b->data = NULL;
}

static void copy_blob(const struct tls_blob *from, struct tls_blob *to)
{
    *to = (struct tls_blob){0};
    if (from->data == NULL)
        return;
    to->data = xmalloc(from->len + 1);
    memcpy(to->data, from->data, from->len + 1);
    to->len = from->len;
}

static bool read_all(int fd, struct tls_blob *out, size_t size)
{
    out->data = xmalloc(size + 1);
    out->len = 0;
    while (out->len < size) {
        ssize_t n = read(fd, out->data + out->len, size - out->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        out->len += (size_t)n;
    }
    out->data[out->len] = '\0';
    return out->len == size;
}

/* secret: a private key, which nobody else should be able to read. */
static bool read_file(struct place *p, const char *setting, const char *path, bool secret,
                      struct tls_blob *out)
{
    struct stat st;
    int fd = named_file_open(path, 0), error = fd < 0 ? -fd : 0;

    if (fd >= 0 && fstat(fd, &st) < 0)
        error = errno;
    if (error != 0) {
        mistake(p, setting, path, strerror(error));
        if (fd >= 0)
            close(fd);
        return false;
    }
    bool ok = false;
    if (!S_ISREG(st.st_mode))
        mistake(p, setting, path, "is no regular file");
    else if (st.st_size == 0)
        mistake(p, setting, path, "is empty");
    else if (st.st_size > (off_t)FILE_BYTES_MAX)
        mistake(p, setting, path, "is too large: 4 MiB at most");
    else if (!read_all(fd, out, (size_t)st.st_size))
        mistake(p, setting, path, "cannot be read whole");
    else
        ok = true;
    if (ok && secret && (st.st_mode & (S_IRWXO)) != 0)
        warning(p, setting, path, "others can read this private key: chmod o-rwx");
    close(fd);
    return ok;
}

/* ---- certificates ---- */

static void date_warnings(struct place *p, const struct tls_cert_info *info, int64_t now_s)
{
    char text[80];

    if (info->not_after_s < now_s) {
        snprintf(text, sizeof(text), "has expired %lld days ago",
                 (long long)((now_s - info->not_after_s) / 86400));
        warning(p, "cert", info->file, text);
    } else if (info->not_after_s - now_s < SOON_S) {
        snprintf(text, sizeof(text), "expires in %lld days",
                 (long long)((info->not_after_s - now_s) / 86400));
        warning(p, "cert", info->file, text);
    }
    if (info->not_before_s > now_s)
        warning(p, "cert", info->file, "is not valid yet");
}

static X509 *parse_cert(const struct tls_blob *pem)
{
    BIO *bio = BIO_new_mem_buf(pem->data, (int)pem->len);
    X509 *x = PEM_read_bio_X509(bio, NULL, tls_no_password, NULL);

    BIO_free(bio);
    return x;
}

/* When nothing more could be read: the file may end so, or it is damaged, or a copy of it is still
 * under way. */
static bool ends_whole(void)
{
    unsigned long e = ERR_peek_last_error();

    return ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE;
}

#define BROKEN "is damaged: behind what could be read stands what could not"

/* What is left out silently would be missed later, by others. */
static void check_certs(struct place *p, const char *setting, const struct tls_blob *pem,
                        const char *path)
{
    BIO *bio = BIO_new_mem_buf(pem->data, (int)pem->len);
    X509 *x;
    int n = 0;

    ERR_clear_error();
    for (; (x = PEM_read_bio_X509(bio, NULL, tls_no_password, NULL)) != NULL; n++)
        X509_free(x);
    if (n == 0)
        mistake(p, setting, path, "has no certificate in PEM");
    else if (!ends_whole())
        mistake(p, setting, path, BROKEN);
    BIO_free(bio);
    ERR_clear_error();
}

/* Clients that know the root only must find each issuer right behind what it has signed. */
static void check_chain(struct place *p, const struct tls_blob *pem, const char *path)
{
    BIO *bio = BIO_new_mem_buf(pem->data, (int)pem->len);
    X509 *one = PEM_read_bio_X509(bio, NULL, tls_no_password, NULL), *next;

    while (one != NULL && (next = PEM_read_bio_X509(bio, NULL, tls_no_password, NULL)) != NULL) {
        if (X509_NAME_cmp(X509_get_issuer_name(one), X509_get_subject_name(next)) != 0) {
            warning(p, "cert", path,
                    "has a chain in which one is not the issuer of the one before");
            X509_free(next);
            break;
        }
        X509_free(one);
        one = next;
    }
    X509_free(one);
    BIO_free(bio);
    ERR_clear_error();
}

/* Whether this is a key, and this certificate's. */
static void check_key(struct place *p, X509 *cert, const struct tls_blob *pem, const char *path)
{
    BIO *bio = BIO_new_mem_buf(pem->data, (int)pem->len);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, tls_no_password, NULL);

    BIO_free(bio);
    if (key == NULL && strstr((char *)pem->data, "ENCRYPTED") != NULL)
        mistake(p, "key", path, "is encrypted; expected a key without a password");
    else if (key == NULL)
        mistake(p, "key", path, "has no private key in PEM");
    else if (X509_check_private_key(cert, key) != 1)
        mistake(p, "key", path, "is not the key of the certificate");
    EVP_PKEY_free(key);
    ERR_clear_error();
}

/* Until when the response may be shown to clients. */
static int64_t staple_until(OCSP_BASICRESP *basic)
{
    int64_t until = INT64_MAX;

    for (int i = 0; i < OCSP_resp_count(basic); i++) {
        ASN1_GENERALIZEDTIME *next = NULL;
        OCSP_single_get0_status(OCSP_resp_get0(basic, i), NULL, NULL, NULL, &next);
        if (next != NULL && tls_time_of(next) < until)
            until = tls_time_of(next);
    }
    return until;
}

static void check_ocsp(struct place *p, const char *path, int64_t now_s,
                       struct tls_pair_files *pair)
{
    const unsigned char *at = pair->ocsp.data;
    OCSP_RESPONSE *r = d2i_OCSP_RESPONSE(NULL, &at, (long)pair->ocsp.len);
    OCSP_BASICRESP *basic = NULL;

    if (r == NULL)
        mistake(p, "ocsp", path, "is no OCSP response in DER");
    else if (OCSP_response_status(r) != OCSP_RESPONSE_STATUS_SUCCESSFUL)
        mistake(p, "ocsp", path, OCSP_response_status_str(OCSP_response_status(r)));
    else if ((basic = OCSP_response_get1_basic(r)) == NULL)
        mistake(p, "ocsp", path, "holds no basic OCSP response");
    else if ((pair->ocsp_until_s = staple_until(basic)) <= now_s)
        warning(p, "ocsp", path, "has expired: it is not given out");
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(r);
    ERR_clear_error();
}

/* Whether there is somebody to ask. */
static void check_responder(struct place *p, const struct tls_pair_files *pair)
{
    struct tls_ocsp_question q;
    const char *why = tls_ocsp_ask((struct str){(const char *)pair->cert.data, pair->cert.len}, &q);

    if (why == NULL)
        tls_ocsp_question_fini(&q);
    else
        warning(p, "ocsp", TLS_OCSP_FETCH, why);
}

static void read_pair(struct place *p, const char *cert, const char *key, const char *ocsp,
                      int64_t now_s, struct cert_file *out)
{
    bool both = read_file(p, "cert", cert, false, &out->pair.cert);

    both = read_file(p, "key", key, true, &out->pair.key) && both;
    if (ocsp != NULL && strcmp(ocsp, TLS_OCSP_FETCH) != 0 &&
        read_file(p, "ocsp", ocsp, false, &out->pair.ocsp))
        check_ocsp(p, ocsp, now_s, &out->pair);
    if (!both)
        return;
    X509 *x = parse_cert(&out->pair.cert);
    check_certs(p, "cert", &out->pair.cert, cert);
    if (x == NULL)
        return;
    tls_cert_info_fill(x, cert, &out->info);
    if (ocsp != NULL && strcmp(ocsp, TLS_OCSP_FETCH) == 0)
        check_responder(p, &out->pair);
    check_key(p, x, &out->pair.key, key);
    check_chain(p, &out->pair.cert, cert);
    date_warnings(p, &out->info, now_s);
    X509_free(x);
    ERR_clear_error();
}

static void free_cert(struct cert_file *c)
{
    free_blob(&c->pair.cert);
    free_blob(&c->pair.key);
    free_blob(&c->pair.ocsp);
    tls_cert_info_fini(&c->info);
}

/* With a list that has run out no client's certificate passes. */
static void check_crl(struct place *p, const char *path, int64_t now_s, const struct tls_blob *pem)
{
    BIO *bio = BIO_new_mem_buf(pem->data, (int)pem->len);
    X509_CRL *crl;
    int n = 0;

    ERR_clear_error();
    for (; (crl = PEM_read_bio_X509_CRL(bio, NULL, tls_no_password, NULL)) != NULL; n++) {
        const ASN1_TIME *next = X509_CRL_get0_nextUpdate(crl);
        if (next != NULL && tls_time_of(next) < now_s)
            warning(p, "crl", path, "has expired: certificates of its authority are refused");
        X509_CRL_free(crl);
    }
    if (n == 0)
        mistake(p, "crl", path, "has no revocation list in PEM");
    else if (!ends_whole())
        mistake(p, "crl", path, BROKEN);
    BIO_free(bio);
    ERR_clear_error();
}

/* ---- a listener's ---- */

static void keep_pair(const struct cert_file *before, struct cert_file *f)
{
    free_cert(f);
    *f = (struct cert_file){.kept = true};
    copy_blob(&before->pair.cert, &f->pair.cert);
    copy_blob(&before->pair.key, &f->pair.key);
    copy_blob(&before->pair.ocsp, &f->pair.ocsp);
    f->pair.ocsp_until_s = before->pair.ocsp_until_s;
    tls_cert_info_copy(&before->info, &f->info);
}

/* Of the same certificate. */
static void keep_staple(const struct cert_file *before, struct cert_file *f)
{
    if (f->pair.ocsp.data != NULL || before->pair.ocsp.data == NULL ||
        f->info.fingerprint == NULL || strcmp(before->info.fingerprint, f->info.fingerprint) != 0)
        return;
    copy_blob(&before->pair.ocsp, &f->pair.ocsp);
    f->pair.ocsp_until_s = before->pair.ocsp_until_s;
}

static void keep_lists(const struct tls_server_files *before, struct tls_server_files *f)
{
    free_blob(&f->client_ca);
    free_blob(&f->crl);
    copy_blob(&before->client_ca, &f->client_ca);
    copy_blob(&before->crl, &f->crl);
    f->lists_kept = true;
}

static void read_lists(struct place *p, const struct tls_server_conf *conf, int64_t now_s,
                       struct tls_server_files *f)
{
    if (conf->client_ca != NULL && read_file(p, "client_ca", conf->client_ca, false, &f->client_ca))
        check_certs(p, "client_ca", &f->client_ca, conf->client_ca);
    if (conf->crl != NULL && read_file(p, "crl", conf->crl, false, &f->crl))
        check_crl(p, conf->crl, now_s, &f->crl);
    ERR_clear_error();
}

static bool is_named(const struct tls_cert_info *info, const char *name)
{
    for (uint32_t i = 0; i < info->n_names; i++)
        if (strcmp(info->names[i], name) == 0)
            return true;
    return false;
}

/* RSA, EC... without its size. */
static bool same_kind(const struct tls_cert_info *a, const struct tls_cert_info *b)
{
    size_t n = strcspn(a->key_type, " ");

    return n == strcspn(b->key_type, " ") && memcmp(a->key_type, b->key_type, n) == 0;
}

/* Earlier ones of the same kind of key are shown for all of its names. */
static bool is_shadowed(const struct tls_server_files *f, uint32_t k)
{
    const struct tls_cert_info *mine = &f->certs[k].info;

    for (uint32_t n = 0; n < mine->n_names; n++) {
        bool taken = false;
        for (uint32_t i = 0; i < k && !taken; i++)
            taken =
                same_kind(&f->certs[i].info, mine) && is_named(&f->certs[i].info, mine->names[n]);
        if (!taken)
            return false;
    }
    return mine->n_names > 0;
}

static void warn_of_shadowed(const struct tls_server_conf *conf, const struct tls_server_files *f,
                             struct strbuf *errors)
{
    for (uint32_t i = 1; i < f->n_certs; i++) {
        const struct tls_cert_conf *c = &conf->certs[i];
        struct place p = {.file = c->file, .line = c->line, .errors = errors};
        if (is_shadowed(f, i))
            warning(&p, "cert", c->cert,
                    "is never shown: certificates before it have all of its names");
    }
}

static void warn_of_kernel(const struct tls_server_conf *conf, struct strbuf *errors)
{
    int error = conf->kernel ? tls_kernel_probe() : 0;

    if (error != 0)
        strbuf_addf(errors,
                    "%s:%d: warning: tls.kernel: found true, but this kernel has no TLS (%s): all "
                    "goes through memory as with false\n",
                    conf->file ? conf->file : "?", conf->line,
                    error == -ENOENT ? "module tls" : strerror(-error));
}

struct tls_server_files *tls_server_files_read(const struct tls_server_conf *conf, int64_t now_s,
                                               struct strbuf *errors)
{
    return tls_server_files_read_again(conf, NULL, now_s, errors);
}

struct tls_server_files *tls_server_files_read_again(const struct tls_server_conf *conf,
                                                     const struct tls_server_files *before,
                                                     int64_t now_s, struct strbuf *errors)
{
    struct tls_server_files *f = xcalloc(1, sizeof(*f));
    struct place here = {.file = conf->file, .line = conf->line, .errors = errors};
    bool failed = false;

    f->n_certs = conf->n_certs;
    f->certs = xcalloc((size_t)conf->n_certs + 1, sizeof(f->certs[0]));
    for (uint32_t i = 0; i < conf->n_certs; i++) {
        const struct tls_cert_conf *c = &conf->certs[i];
        struct place p = {.file = c->file, .line = c->line, .errors = errors};
        read_pair(&p, c->cert, c->key, c->ocsp, now_s, &f->certs[i]);
        failed = failed || p.failed;
        if (p.failed && before != NULL)
            keep_pair(&before->certs[i], &f->certs[i]);
        else if (before != NULL && c->ocsp != NULL && strcmp(c->ocsp, TLS_OCSP_FETCH) == 0)
            keep_staple(&before->certs[i], &f->certs[i]);
    }
    read_lists(&here, conf, now_s, f);
    if (here.failed && before != NULL)
        keep_lists(before, f);
    if ((failed || here.failed) && before == NULL)
        tls_server_files_free(&f);
    else
        warn_of_shadowed(conf, f, errors);
    if (before == NULL)
        warn_of_kernel(conf, errors);
    return f;
}

void tls_server_files_free(struct tls_server_files **files)
{
    struct tls_server_files *f = *files;

    *files = NULL;
    if (f == NULL)
        return;
    for (uint32_t i = 0; i < f->n_certs; i++)
        free_cert(&f->certs[i]);
    free_blob(&f->client_ca);
    free_blob(&f->crl);
    free(f->certs);
    free(f);
}

const struct tls_cert_info *tls_server_files_cert(const struct tls_server_files *f, uint32_t i)
{
    return &f->certs[i].info;
}

bool tls_server_files_kept(const struct tls_server_files *f, uint32_t i)
{
    return f->certs[i].kept || f->lists_kept;
}

static bool same_blob(const struct tls_blob *a, const struct tls_blob *b)
{
    if (a->data == NULL || b->data == NULL)
        return a->data == b->data;
    return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

bool tls_server_files_same(const struct tls_server_files *a, const struct tls_server_files *b)
{
    bool same = a->n_certs == b->n_certs && same_blob(&a->client_ca, &b->client_ca) &&
                same_blob(&a->crl, &b->crl);

    for (uint32_t i = 0; same && i < a->n_certs; i++) {
        const struct tls_pair_files *p = &a->certs[i].pair, *q = &b->certs[i].pair;
        same = same_blob(&p->cert, &q->cert) && same_blob(&p->key, &q->key) &&
               same_blob(&p->ocsp, &q->ocsp) && p->ocsp_until_s == q->ocsp_until_s;
    }
    return same;
}

struct str tls_server_files_chain(const struct tls_server_files *f, uint32_t i)
{
    const struct tls_blob *pem = &f->certs[i].pair.cert;

    return (struct str){(const char *)pem->data, pem->len};
}

void tls_server_files_staple(struct tls_server_files *f, uint32_t i, struct str der,
                             int64_t until_s)
{
    struct tls_pair_files *pair = &f->certs[i].pair;

    free_blob(&pair->ocsp);
    pair->ocsp.data = xcalloc(1, der.len + 1);
    memcpy(pair->ocsp.data, der.p, der.len);
    pair->ocsp.len = der.len;
    pair->ocsp_until_s = until_s;
}

int64_t tls_server_files_stapled_until(const struct tls_server_files *f, uint32_t i)
{
    const struct tls_pair_files *pair = &f->certs[i].pair;

    return pair->ocsp.data != NULL ? pair->ocsp_until_s : 0;
}

const struct tls_pair_files *tls_server_files_pair(const struct tls_server_files *f, uint32_t i)
{
    return &f->certs[i].pair;
}

const struct tls_blob *tls_server_files_client_ca(const struct tls_server_files *f)
{
    return &f->client_ca;
}

const struct tls_blob *tls_server_files_crl(const struct tls_server_files *f)
{
    return &f->crl;
}

/* ---- a pool's ---- */

struct tls_client_files *tls_client_files_read(const struct tls_client_conf *conf, int64_t now_s,
                                               struct strbuf *errors)
{
    struct tls_client_files *f = xcalloc(1, sizeof(*f));
    struct place p = {.file = conf->file, .line = conf->line, .errors = errors};

    if (conf->cert != NULL && conf->key != NULL)
        read_pair(&p, conf->cert, conf->key, NULL, now_s, &f->own);
    if (conf->ca != NULL && read_file(&p, "ca", conf->ca, false, &f->ca))
        check_certs(&p, "ca", &f->ca, conf->ca);
    if (p.failed)
        tls_client_files_free(&f);
    return f;
}

void tls_client_files_free(struct tls_client_files **files)
{
    struct tls_client_files *f = *files;

    *files = NULL;
    if (f == NULL)
        return;
    free_cert(&f->own);
    free_blob(&f->ca);
    free(f);
}

const struct tls_cert_info *tls_client_files_cert(const struct tls_client_files *f)
{
    return f->own.info.file != NULL ? &f->own.info : NULL;
}

const struct tls_blob *tls_client_files_ca(const struct tls_client_files *f)
{
    return &f->ca;
}

const struct tls_pair_files *tls_client_files_pair(const struct tls_client_files *f)
{
    return &f->own.pair;
}
