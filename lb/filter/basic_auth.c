/* basic_auth.c - lets only known users pass (RFC 7617).
 *
 * The slow comparison runs on crypt_thread, the exchange pauses meanwhile. What succeeded is
 * remembered for a minute under a keyed hash of user and password, so the requests of a browser
 * cost a SHA-256 each; failures are not. An unknown user is compared with the hash of somebody
 * else, so that the time says nothing. The Authorization header goes on to the backend; to keep it
 * away remove it in request_headers. */
#include "lb/base/alloc.h"
#include "lb/base/hash.h"
#include "lb/base/named_file.h"
#include "lb/filter/crypt_thread.h"
#include "lb/filter/filter_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define FILE_BYTES_MAX (16u << 20)
#define CACHE_SETS     64 /* each with a lock of its own */
#define CACHE_WAYS     8  /* 512 users at the same time; more are verified more often */
#define CACHE_US       (60ull * 1000000)

struct success {
    uint8_t key[32];
    uint64_t until_us; /* 0: none */
};

struct cache_set {
    pthread_mutex_t mutex;
    struct success ways[CACHE_WAYS];
};

struct basic_auth {
    struct filter base;
    struct basic_auth_users users;
    uint8_t secret[32];
    uint64_t seed;
    char *challenge;
    struct cache_set cache[CACHE_SETS];
};

struct auth_state {
    struct basic_auth *auth;
    struct filter_exchange *x;
    struct crypt_job *job; /* being verified */
    bool known;            /* whether the user exists, whatever the job says */
    bool done, ok;
    struct str user; /* who says so; in the exchange's arena */
};

/* ---- load ---- */

static int read_file(const char *path, struct strbuf *out)
{
    int fd = named_file_open(path, O_NONBLOCK), rc = 0;
    char buf[4096];

    if (fd < 0)
        return fd;
    for (;;) {
        ssize_t n = read(fd, buf, sizeof(buf));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            rc = n < 0 ? -errno : 0;
            break;
        }
        strbuf_add(out, buf, (size_t)n);
        if (out->len > FILE_BYTES_MAX) {
            rc = -EFBIG;
            break;
        }
    }
    explicit_bzero(buf, sizeof(buf));
    close(fd);
    return rc;
}

static int load_users(struct basic_auth *b, const char *path, const char **out_error)
{
    struct strbuf text = {0};
    int rc = read_file(path, &text);

    if (rc != 0)
        *out_error = filter_error("auth.basic.file: %s: %s", path, strerror(-rc));
    else
        rc = basic_auth_users_parse(strbuf_str(&text), path, &b->users, out_error);
    strbuf_fini(&text);
    return rc;
}

static char *make_challenge(const char *realm)
{
    struct strbuf b = {0};

    strbuf_add_cstr(&b, "Basic realm=\"");
    for (const char *p = realm; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\')
            strbuf_add_char(&b, '\\');
        strbuf_add_char(&b, *p);
    }
    strbuf_add_cstr(&b, "\", charset=\"UTF-8\"");
    return b.p;
}

/* By the whole, not by its base: gcc takes the wiping for an overflow of the base. */
static void wipe(struct basic_auth *b)
{
    for (size_t i = 0; i < CACHE_SETS; i++)
        pthread_mutex_destroy(&b->cache[i].mutex);
    basic_auth_users_fini(&b->users);
    free(b->challenge);
    explicit_bzero(b, sizeof(*b));
    free(b);
}

static void free_auth(struct filter *f)
{
    wipe(container_of(f, struct basic_auth, base));
}

static struct filter *make(const struct filters_conf *conf, const char **out_error)
{
    const struct basic_auth_conf *bc = conf->basic_auth;
    const char *realm;

    if (bc == NULL)
        return NULL;
    realm = bc->realm != NULL ? bc->realm : "restricted";
    if (!http_is_field_value(str_of(realm))) {
        *out_error = filter_error("auth.basic.realm: control bytes cannot stand in a header");
        return NULL;
    }
    struct basic_auth *b = xcalloc(1, sizeof(*b));
    b->base.type = &basic_auth_filter;
    for (size_t i = 0; i < CACHE_SETS; i++)
        pthread_mutex_init(&b->cache[i].mutex, NULL);
    filter_secret(b->secret, sizeof(b->secret));
    filter_secret(&b->seed, sizeof(b->seed));
    b->challenge = make_challenge(realm);
    if (load_users(b, bc->file, out_error) == 0)
        return &b->base;
    wipe(b);
    return NULL;
}

/* ---- what succeeded lately ---- */

/* The secret is the filter's own, so keys of two filters never meet. */
static void make_key(const struct basic_auth *b, const struct basic_auth_credentials *c,
                     uint8_t out[static 32])
{
    uint8_t text[sizeof(b->secret) + sizeof(c->text)];

    memcpy(text, b->secret, sizeof(b->secret));
    memcpy(text + sizeof(b->secret), c->text, c->len);
    SHA256(text, sizeof(b->secret) + c->len, out);
    explicit_bzero(text, sizeof(text));
}

static bool succeeded_lately(struct basic_auth *b, const uint8_t key[static 32], uint64_t now_us)
{
    struct cache_set *set = &b->cache[key[0] % CACHE_SETS];
    bool found = false;

    pthread_mutex_lock(&set->mutex);
    for (size_t i = 0; i < CACHE_WAYS; i++)
        found |= set->ways[i].until_us > now_us && CRYPTO_memcmp(set->ways[i].key, key, 32) == 0;
    pthread_mutex_unlock(&set->mutex);
    return found;
}

static void remember(struct basic_auth *b, const uint8_t key[static 32], uint64_t now_us)
{
    struct cache_set *set = &b->cache[key[0] % CACHE_SETS];
    struct success *oldest = &set->ways[0];

    pthread_mutex_lock(&set->mutex);
    for (size_t i = 0; i < CACHE_WAYS; i++) {
        struct success *way = &set->ways[i];
        if (memcmp(way->key, key, 32) == 0) {
            oldest = way;
            break;
        }
        if (way->until_us < oldest->until_us)
            oldest = way;
    }
    memcpy(oldest->key, key, 32);
    oldest->until_us = now_us + CACHE_US;
    pthread_mutex_unlock(&set->mutex);
}

/* ---- per exchange ---- */

static enum filter_verdict unauthorized(struct basic_auth *b, struct filter_exchange *x)
{
    x->answer = (struct filter_answer){.status = 401, .reason = "unauthorized"};
    filter_answer_header(&x->answer, "WWW-Authenticate", b->challenge);
    return FILTER_ANSWER;
}

static enum filter_verdict authorized(struct auth_state *s)
{
    s->x->user = s->user;
    return FILTER_PASS;
}

static enum filter_verdict busy(struct filter_exchange *x)
{
    x->answer = (struct filter_answer){.status = 503, .reason = "auth-busy"};
    filter_answer_header(&x->answer, "Retry-After", "1");
    return FILTER_ANSWER;
}

static void on_verified(struct crypt_job *job)
{
    struct auth_state *s = job->owner;

    s->job = NULL;
    s->done = true;
    s->ok = job->ok && s->known;
    if (s->ok)
        remember(s->auth, job->key, io_now_us(s->x->io));
    s->x->host->resume(s->x);
}

/* The hash to compare with: the user's, or one that this name always gets when it is unknown. */
static const char *hash_for(const struct basic_auth *b, const char *name, bool *out_known)
{
    const struct basic_auth_user *user = basic_auth_users_find(&b->users, name);
    uint64_t other = hash_bytes(name, strlen(name), b->seed) % b->users.n;

    *out_known = user != NULL;
    return user != NULL ? user->hash : b->users.users[other].hash;
}

static enum filter_verdict verify(struct basic_auth *b, struct auth_state *s,
                                  const struct basic_auth_credentials *c,
                                  const uint8_t key[static 32])
{
    struct crypt_job *job = calloc(1, sizeof(*job));

    if (job == NULL)
        return busy(s->x);
    job->loop = s->x->loop;
    job->owner = s;
    job->done = on_verified;
    job->client = addr_hash_host(s->x->client);
    memcpy(job->key, key, sizeof(job->key));
    strcpy(job->password, c->password); /* both bounded by BASIC_AUTH_CREDENTIALS_MAX */
    strcpy(job->hash, hash_for(b, c->user, &s->known));
    if (crypt_thread_submit(job) < 0) {
        crypt_job_free(job);
        return busy(s->x);
    }
    s->job = job;
    return FILTER_PAUSE;
}

static enum filter_verdict check(struct basic_auth *b, struct auth_state *s,
                                 const struct basic_auth_credentials *c)
{
    uint8_t key[32];

    make_key(b, c, key);
    if (succeeded_lately(b, key, io_now_us(s->x->io)))
        return authorized(s);
    return verify(b, s, c, key);
}

static bool find_credentials(const struct http_head *h, struct basic_auth_credentials *out)
{
    struct http_field *field = http_find(h, HTTP_AUTHORIZATION, NULL);

    return field != NULL && http_find(h, HTTP_AUTHORIZATION, field) == NULL &&
           basic_auth_header_parse(http_value(h, field), out);
}

static enum filter_verdict request_head(struct filter *f, struct filter_exchange *x, void *state)
{
    struct basic_auth *b = container_of(f, struct basic_auth, base);
    struct auth_state *s = state;
    struct basic_auth_credentials c;

    if (s->done)
        return s->ok ? authorized(s) : unauthorized(b, x);
    if (s->job != NULL)
        return FILTER_PAUSE;
    s->auth = b;
    s->x = x;
    if (!find_credentials(x->request, &c))
        return unauthorized(b, x);
    s->user.p = arena_copy(x->arena, c.user, strlen(c.user));
    s->user.len = s->user.p != NULL ? strlen(c.user) : 0;
    enum filter_verdict v = check(b, s, &c);
    explicit_bzero(&c, sizeof(c));
    return v;
}

static void end(struct filter *f, struct filter_exchange *x, void *state)
{
    struct auth_state *s = state;

    (void)f, (void)x;
    if (s->job != NULL)
        crypt_job_detach(s->job);
    s->job = NULL;
}

/* Tries no password: whoever may ask for explanations may not guess here for nothing. */
static enum filter_verdict explain(struct filter *f, struct filter_exchange *x,
                                   struct strbuf *words)
{
    struct basic_auth_credentials c;

    if (!find_credentials(x->request, &c)) {
        strbuf_add_cstr(words, http_find(x->request, HTTP_AUTHORIZATION, NULL) != NULL
                                   ? "the Authorization header is not one of Basic"
                                   : "there is no Authorization header");
        return unauthorized(container_of(f, struct basic_auth, base), x);
    }
    strbuf_addf(words, "if the password of user %s is right (it is not tried here)", c.user);
    explicit_bzero(&c, sizeof(c));
    return FILTER_PASS;
}

const struct filter_type basic_auth_filter = {
    .name = "basic_auth",
    .state_size = sizeof(struct auth_state),
    .make = make,
    .free = free_auth,
    .request_head = request_head,
    .explain = explain,
    .end = end,
};
