/* check_postgres.c - Postgres, by its own protocol (version 3.0). Without health.user: whether it
 * takes sessions at all, as pg_isready asks. With one: whether that user gets a session, and
 * whether it is a primary. Over TLS behind an SSLRequest. */
#include "health/check.h"
#include "health/scram.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROTOCOL    196608u   /* 3.0 */
#define SSL_REQUEST 80877103u /* in the place of a version */
#define MESSAGE_MAX 8192u
#define QUERY       "SELECT pg_catalog.pg_is_in_recovery()"

enum step { STEP_OUTSIDE, STEP_INSIDE /* authenticated */, STEP_ASKED };

enum auth {
    AUTH_OK = 0,
    AUTH_CLEAR = 3,
    AUTH_MD5 = 5,
    AUTH_SASL = 10,
    AUTH_SASL_CONTINUE = 11,
    AUTH_SASL_FINAL = 12,
};

static void put_u32(struct strbuf *out, uint32_t v)
{
    const char bytes[4] = {(char)(v >> 24), (char)(v >> 16), (char)(v >> 8), (char)v};

    strbuf_add(out, bytes, sizeof(bytes));
}

static uint32_t get_u32(const char *p)
{
    const uint8_t *b = (const uint8_t *)p;

    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* With its NUL. */
static void put_text(struct strbuf *out, const char *text)
{
    strbuf_add(out, text, strlen(text) + 1);
}

static void send_message(struct check *ck, char type, struct str body)
{
    struct strbuf out = {0};

    strbuf_add_char(&out, type);
    put_u32(&out, (uint32_t)body.len + 4);
    strbuf_add_str(&out, body);
    check_send(ck, out.p, out.len);
    strbuf_fini(&out);
}

static void request(struct check *ck, struct strbuf *out)
{
    const struct health_conf *h = &ck->conf->health;
    const char *user = h->user != NULL ? h->user : "sluice";
    struct strbuf body = {0};

    put_u32(&body, PROTOCOL);
    put_text(&body, "user");
    put_text(&body, user);
    put_text(&body, "database");
    put_text(&body, h->database != NULL ? h->database : h->user != NULL ? user : "postgres");
    put_text(&body, "application_name");
    put_text(&body, "sluice-health");
    strbuf_add_char(&body, '\0');
    put_u32(out, (uint32_t)body.len + 4);
    strbuf_add_str(out, strbuf_str(&body));
    strbuf_fini(&body);
}

static bool sent(struct check *ck)
{
    (void)ck;
    return false;
}

static void say_bad(struct check *ck, const char *what)
{
    check_say(ck, CHECK_FAILED, CHECK_L7RSP, 0, "postgres: %s", what);
}

static void say_good(struct check *ck, const char *what)
{
    check_say(ck, CHECK_PASSED, CHECK_L7OK, 0, "postgres: %s", what);
}

/* ---- before TLS ---- */

static void ask_tls(struct check *ck, struct strbuf *out)
{
    (void)ck;
    put_u32(out, 8);
    put_u32(out, SSL_REQUEST);
}

/* One byte, or the error of a server that can do no more. */
static bool tls_answer(struct check *ck, struct str data, struct strbuf *out)
{
    struct str byte;

    (void)out;
    check_see(ck, data);
    if (!check_next_bytes(ck, 1, &byte))
        return false;
    if (byte.p[0] == 'N')
        check_say_no_tls(ck, "takes no TLS (its ssl is off)");
    else if (byte.p[0] != 'S')
        check_say_no_tls(ck, byte.p[0] == 'E' ? "an error where TLS was asked for"
                                              : "an answer that is not Postgres's");
    ck->complete = ck->decided;
    return true;
}

/* ---- authentication ---- */

static const char *password_of(const struct check *ck)
{
    return ck->conf->health.password != NULL ? ck->conf->health.password : "";
}

static void hex_md5(const void *a, size_t a_len, const void *b, size_t b_len, char out[static 33])
{
    uint8_t digest[EVP_MAX_MD_SIZE] = {0};
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned n = 0;

    if (ctx != NULL && EVP_DigestInit_ex(ctx, EVP_md5(), NULL) == 1) {
        EVP_DigestUpdate(ctx, a, a_len);
        EVP_DigestUpdate(ctx, b, b_len);
        EVP_DigestFinal_ex(ctx, digest, &n);
    }
    EVP_MD_CTX_free(ctx);
    for (unsigned i = 0; i < 16; i++)
        snprintf(out + i * 2, 3, "%02x", digest[i]);
}

static void send_clear(struct check *ck)
{
    const char *password = password_of(ck);

    if (check_is_private(ck))
        send_message(ck, 'p', (struct str){(char *)password, strlen(password) + 1});
    else
        say_bad(ck, "asks for the password in clear, which a check sends over TLS only");
}

static void send_md5(struct check *ck, struct str salt)
{
    const char *password = password_of(ck), *user = ck->conf->health.user;
    char inner[33], text[3 + 33] = "md5";

    hex_md5(password, strlen(password), user, strlen(user), inner);
    hex_md5(inner, 32, salt.p, 4, text + 3);
    send_message(ck, 'p', (struct str){text, sizeof(text)});
}

static void begin_scram(struct check *ck, struct str mechanisms)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char nonce[SCRAM_NONCE_LEN + 1], text[SCRAM_TEXT_MAX];
    struct strbuf body = {0};

    if (ck->scram != NULL || !str_contains(mechanisms, STR("SCRAM-SHA-256"))) {
        say_bad(ck, "asks for a way to authenticate that is not known");
        return;
    }
    for (uint32_t i = 0; i < SCRAM_NONCE_LEN; i++)
        nonce[i] = letters[io_random(ck->loop->io) % 64];
    ck->scram = calloc(1, sizeof(*ck->scram));
    if (ck->scram == NULL) {
        check_say(ck, CHECK_UNABLE, CHECK_SOCKERR, 0, "out of memory");
        return;
    }
    size_t n = scram_first(ck->scram, nonce, text);
    put_text(&body, "SCRAM-SHA-256");
    put_u32(&body, (uint32_t)n);
    strbuf_add(&body, text, n);
    send_message(ck, 'p', strbuf_str(&body));
    strbuf_fini(&body);
}

static void go_on_with_scram(struct check *ck, struct str server)
{
    char text[SCRAM_TEXT_MAX];
    size_t n = ck->scram != NULL ? scram_final(ck->scram, password_of(ck), server, text) : 0;

    if (n == 0)
        say_bad(ck, "its SCRAM message will not do");
    else
        send_message(ck, 'p', (struct str){text, n});
}

static void authenticate(struct check *ck, struct str body)
{
    if (ck->conf->health.user == NULL) { /* it would take a session, from whom is another matter */
        say_good(ck, "takes connections");
        return;
    }
    if (body.len < 4) {
        say_bad(ck, "a message that is cut");
        return;
    }
    struct str rest = {body.p + 4, body.len - 4};
    switch (get_u32(body.p)) {
    case AUTH_OK:
        ck->step = STEP_INSIDE;
        return;
    case AUTH_CLEAR:
        send_clear(ck);
        return;
    case AUTH_MD5:
        if (rest.len == 4)
            send_md5(ck, rest);
        else
            say_bad(ck, "a message that is cut");
        return;
    case AUTH_SASL:
        begin_scram(ck, rest);
        return;
    case AUTH_SASL_CONTINUE:
        go_on_with_scram(ck, rest);
        return;
    case AUTH_SASL_FINAL:
        if (ck->scram == NULL || !scram_verify(ck->scram, rest))
            say_bad(ck, "it does not know the password itself");
        return;
    default:
        say_bad(ck, "asks for a way to authenticate that is not known");
    }
}

/* ---- other messages ---- */

/* A field of an error, by its letter. */
static struct str error_field(struct str body, char letter)
{
    while (body.len > 1) {
        const char *end = memchr(body.p + 1, '\0', body.len - 1);
        if (end == NULL)
            break;
        struct str value = {body.p + 1, (size_t)(end - body.p - 1)};
        if (body.p[0] == letter)
            return value;
        body = (struct str){end + 1, body.len - value.len - 2};
    }
    return STR("");
}

/* Class 57P: it is shutting down, starting, or recovering. Any other error comes from a server that
 * works, which is all that is asked where there is no user. */
static void take_error(struct check *ck, struct str body)
{
    struct str code = error_field(body, 'C'), message = error_field(body, 'M');
    char quoted[CHECK_QUOTE_MAX];

    if (ck->conf->health.user == NULL && !str_starts(code, STR("57P")))
        say_good(ck, "takes connections");
    else
        check_say(ck, CHECK_FAILED, CHECK_L7STS, 0, "postgres: %s (SQLSTATE %.*s)%s",
                  check_quote(message, quoted), (int)code.len, code.p,
                  str_contains(message, STR("no encryption")) ? " (set health.tls)" : "");
}

static void take_row(struct check *ck, struct str body)
{
    if (body.len < 7 || get_u32(body.p + 2) != 1 || (body.p[6] != 't' && body.p[6] != 'f'))
        say_bad(ck, "an answer that is none to " QUERY);
    else
        check_say_role(ck, body.p[6] == 'f');
}

static void take_ready(struct check *ck)
{
    if (ck->conf->health.role == CHECK_ROLE_ANY)
        say_good(ck, "takes sessions");
    else if (ck->step++ == STEP_INSIDE)
        send_message(ck, 'Q', (struct str){QUERY, sizeof(QUERY)});
    else
        say_bad(ck, "no answer to " QUERY);
}

static void take(struct check *ck, char type, struct str body)
{
    switch (type) {
    case 'R':
        authenticate(ck, body);
        break;
    case 'E':
        take_error(ck, body);
        break;
    case 'D':
        take_row(ck, body);
        break;
    case 'Z':
        take_ready(ck);
        break;
    case 'S': /* settings */
    case 'K': /* a key to cancel with */
    case 'N': /* a notice */
    case 'T': /* of what rows are made */
    case 'C': /* the end of them */
    case 'v': /* an older version of the protocol */
        break;
    default:
        say_bad(ck, "an answer that is not Postgres's");
    }
}

/* True: one was taken, or it will not do. */
static bool take_next(struct check *ck)
{
    struct str left = {ck->seen.p + ck->at, ck->seen.len - ck->at}, head, body;

    if (left.len < 5)
        return false;
    uint32_t n = get_u32(left.p + 1);
    if (n < 4 || n > MESSAGE_MAX) {
        say_bad(ck, "an answer that is not Postgres's");
        return true;
    }
    if (left.len < 1 + n || !check_next_bytes(ck, 5, &head) || !check_next_bytes(ck, n - 4, &body))
        return false;
    take(ck, head.p[0], body);
    return true;
}

static bool answer(struct check *ck, struct str data)
{
    check_see(ck, data);
    while (!ck->decided && take_next(ck))
        ;
    if (!ck->decided && check_seen_all(ck))
        say_bad(ck, "an answer without an end");
    if (ck->decided && ck->step == STEP_OUTSIDE)
        ck->complete = true; /* it expects no other message than a password */
    else if (ck->decided)
        send_message(ck, 'X', STR(""));
    return ck->decided;
}

/* It hangs up then. */
static bool rest(struct check *ck, struct str data)
{
    (void)ck, (void)data;
    return false;
}

static void ended(struct check *ck)
{
    say_bad(ck, "closed without an answer");
}

static void fini(struct check *ck)
{
    free(ck->scram);
    ck->scram = NULL;
}

const struct check_kind check_kind_postgres = {
    .name = "postgres",
    .request = request,
    .sent = sent,
    .answer = answer,
    .ended = ended,
    .rest = rest,
    .ask_tls = ask_tls,
    .tls_answer = tls_answer,
    .fini = fini,
};
