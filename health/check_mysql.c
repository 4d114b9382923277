/* check_mysql.c - MySQL and MariaDB, by their own protocol (version 10). Without health.user:
 * whether it greets; an answer is given all the same, as who leaves within the handshake is counted
 * against its host, and blocked at last. With one: whether that user gets a session (by
 * mysql_native_password, caching_sha2_password, or without a password), and whether it may be
 * written to. TLS begins behind the greeting, on a request that is the front of an answer to it.
 *
 * caching_sha2_password: a server that has the user in its cache takes a proof; else it wants the
 * password itself, which goes over TLS or a unix socket, or encrypted with a key that it sends. */
#include "health/check.h"
#include "health/mysql_auth.h"

#include <stdio.h>
#include <string.h>

#define QUERY                     "SELECT @@global.read_only"
#define PACKET_MAX                8192u
/* An error: require_secure_transport is on. */
#define SECURE_TRANSPORT_REQUIRED 3159
#define NO_TLS                    "takes no TLS (it has no certificate)"

/* Capabilities of ours: 4.1's protocol and passwords, plug-ins, a database by name. */
#define CLIENT_LONG_PASSWORD     0x00000001u
#define CLIENT_CONNECT_WITH_DB   0x00000008u
#define CLIENT_PROTOCOL_41       0x00000200u
#define CLIENT_SSL               0x00000800u
#define CLIENT_SECURE_CONNECTION 0x00008000u
#define CLIENT_PLUGIN_AUTH       0x00080000u

/* What caching_sha2_password says: behind a 1, and to that. */
enum { SHA2_KEY = 2, SHA2_FAST = 3, SHA2_FULL = 4 };

static_assert(CHECK_SEED_LEN == MYSQL_SEED_LEN, "a check keeps one");

enum step {
    STEP_GREETING,
    STEP_AUTH,
    STEP_KEY,    /* its RSA key is awaited */
    STEP_NO_TLS, /* what was said so that it does not count us as one who has left */
    STEP_COLUMNS,
    STEP_COLUMN,
    STEP_BEFORE_ROWS,
    STEP_ROW,
};

static bool sent(struct check *ck)
{
    (void)ck;
    return false;
}

static void say_bad(struct check *ck, const char *what)
{
    check_say(ck, CHECK_FAILED, CHECK_L7RSP, 0, "mysql: %s", what);
}

static void say_good(struct check *ck, const char *what)
{
    check_say(ck, CHECK_PASSED, CHECK_L7OK, 0, "mysql: %s", what);
}

static void add_packet(struct strbuf *out, uint8_t sequence, struct str body)
{
    const char head[4] = {(char)body.len, (char)(body.len >> 8), (char)(body.len >> 16),
                          (char)sequence};

    strbuf_add(out, head, sizeof(head));
    strbuf_add_str(out, body);
}

static void send_packet(struct check *ck, uint8_t sequence, struct str body)
{
    struct strbuf out = {0};

    add_packet(&out, sequence, body);
    check_send(ck, out.p, out.len);
    strbuf_fini(&out);
}

static void put_u32(struct strbuf *out, uint32_t v)
{
    const char bytes[4] = {(char)v, (char)(v >> 8), (char)(v >> 16), (char)(v >> 24)};

    strbuf_add(out, bytes, sizeof(bytes));
}

/* ---- errors ---- */

static void take_error(struct check *ck, struct str body)
{
    char quoted[CHECK_QUOTE_MAX];
    uint32_t code = body.len >= 3 ? (uint8_t)body.p[1] | (uint32_t)(uint8_t)body.p[2] << 8 : 0;
    struct str text = body.len > 3 ? (struct str){body.p + 3, body.len - 3} : STR("");

    if (text.len >= 6 && text.p[0] == '#') /* SQLSTATE */
        text = (struct str){text.p + 6, text.len - 6};
    if (ck->step == STEP_NO_TLS)
        check_say_no_tls(ck, NO_TLS);
    else if (ck->conf->health.user == NULL && ck->step == STEP_AUTH)
        say_good(ck, "takes connections"); /* whom it does not know it refuses */
    else
        check_say(ck, CHECK_FAILED, CHECK_L7STS, 0, "mysql: %s (error %u)%s",
                  check_quote(text, quoted), code,
                  code == SECURE_TRANSPORT_REQUIRED ? " (set health.tls)" : "");
}

/* ---- the handshake ---- */

/* Where a text that ends in NUL is over, and what follows it; false: it has no end. */
static bool skip_text(struct str *s)
{
    const char *nul = s->len > 0 ? memchr(s->p, '\0', s->len) : NULL;

    if (nul == NULL)
        return false;
    *s = (struct str){nul + 1, s->len - (size_t)(nul + 1 - s->p)};
    return true;
}

/* Of its greeting: the 20 bytes that passwords are mixed with, 8, then 12 behind 19 other bytes;
 * the plug-in that it begins with; the lower half of what it can. */
static bool read_greeting(struct check *ck, struct str body, uint32_t *out_capabilities)
{
    struct str s = {body.p + 1, body.len - 1};

    if (body.p[0] != 10 || !skip_text(&s) || s.len < 4 + 8 + 19 + 12) {
        say_bad(ck, "an answer that is not MySQL's");
        return false;
    }
    memcpy(ck->seed, s.p + 4, 8);
    memcpy(ck->seed + 8, s.p + 4 + 8 + 19, 12);
    struct str name = {s.p + 4 + 8 + 19 + 12, s.len - (4 + 8 + 19 + 12)};
    ck->sha2 = name.len > 1 && str_starts((struct str){name.p + 1, name.len - 1}, STR(MYSQL_SHA2));
    *out_capabilities = (uint8_t)s.p[13] | (uint32_t)(uint8_t)s.p[14] << 8;
    return true;
}

static size_t prove(const struct check *ck, uint8_t out[static MYSQL_PROOF_MAX])
{
    const char *password = ck->conf->health.password;

    return ck->sha2 ? mysql_sha2_proof(password, ck->seed, out)
                    : mysql_native_proof(password, ck->seed, out);
}

static bool has_password(const struct check *ck)
{
    const struct health_conf *h = &ck->conf->health;

    return h->user != NULL && h->password != NULL && h->password[0] != '\0';
}

/* What begins an answer to the greeting; of a request for TLS it is all. */
static void put_front(const struct check *ck, struct strbuf *body, uint32_t more)
{
    static const char filler[23];

    if (ck->conf->health.database != NULL)
        more |= CLIENT_CONNECT_WITH_DB;
    put_u32(body, CLIENT_LONG_PASSWORD | CLIENT_PROTOCOL_41 | CLIENT_SECURE_CONNECTION |
                      CLIENT_PLUGIN_AUTH | more);
    put_u32(body, PACKET_MAX);
    strbuf_add_char(body, 45); /* utf8mb4 */
    strbuf_add(body, filler, sizeof(filler));
}

/* user: NULL for anybody. */
static void greet(struct check *ck, const char *user, struct strbuf *out)
{
    const struct health_conf *h = &ck->conf->health;
    uint8_t proof[MYSQL_PROOF_MAX];
    struct strbuf body = {0};
    size_t n = user != NULL ? prove(ck, proof) : 0;

    put_front(ck, &body, ck->asked ? CLIENT_SSL : 0);
    if (user == NULL)
        user = "sluice";
    strbuf_add(&body, user, strlen(user) + 1);
    strbuf_add_char(&body, (char)n);
    strbuf_add(&body, proof, n);
    if (h->database != NULL)
        strbuf_add(&body, h->database, strlen(h->database) + 1);
    const char *plugin = ck->sha2 ? MYSQL_SHA2 : MYSQL_NATIVE;
    strbuf_add(&body, plugin, strlen(plugin) + 1);
    add_packet(out, ck->asked ? 2 : 1, strbuf_str(&body)); /* behind the request for TLS */
    strbuf_fini(&body);
}

/* The server speaks first, and not again when TLS has begun. */
static void request(struct check *ck, struct strbuf *out)
{
    if (!ck->asked)
        return;
    ck->step = STEP_AUTH;
    greet(ck, ck->conf->health.user, out);
}

static void take_greeting(struct check *ck, struct str body)
{
    struct strbuf out = {0};
    uint32_t capabilities;

    if (!read_greeting(ck, body, &capabilities))
        return;
    ck->step = STEP_AUTH;
    greet(ck, ck->conf->health.user, &out);
    check_send(ck, out.p, out.len);
    strbuf_fini(&out);
}

/* ---- before TLS ---- */

static void ask_tls(struct check *ck, struct strbuf *out)
{
    (void)ck, (void)out; /* the server speaks first */
}

/* Its greeting says whether it can. True: so it does. */
static bool take_offer(struct check *ck, struct str body, struct strbuf *out)
{
    struct strbuf front = {0};
    uint32_t capabilities;

    if (!read_greeting(ck, body, &capabilities))
        return false;
    if ((capabilities & CLIENT_SSL) != 0) {
        put_front(ck, &front, CLIENT_SSL);
        add_packet(out, 1, strbuf_str(&front));
        strbuf_fini(&front);
        return true;
    }
    ck->step = STEP_NO_TLS;
    greet(ck, NULL, &front);
    check_send(ck, front.p, front.len);
    strbuf_fini(&front);
    return false;
}

/* The server wants another plug-in, or the same with another seed. */
static void switch_plugin(struct check *ck, uint8_t sequence, struct str body)
{
    struct str name = {body.p + 1, body.len - 1}, rest = name;
    uint8_t proof[MYSQL_PROOF_MAX];
    char quoted[CHECK_QUOTE_MAX];

    if (body.len == 1 || !skip_text(&rest)) {
        say_bad(ck, "asks for the passwords of before 4.1");
        return;
    }
    name.len -= rest.len + 1;
    ck->sha2 = str_eq(name, STR(MYSQL_SHA2));
    if (!has_password(ck)) {
        send_packet(ck, (uint8_t)(sequence + 1), STR("")); /* in no plug-in's way */
    } else if ((ck->sha2 || str_eq(name, STR(MYSQL_NATIVE))) && rest.len >= MYSQL_SEED_LEN) {
        memcpy(ck->seed, rest.p, MYSQL_SEED_LEN);
        send_packet(ck, (uint8_t)(sequence + 1), (struct str){(char *)proof, prove(ck, proof)});
    } else {
        check_say(ck, CHECK_FAILED, CHECK_L7RSP, 0,
                  "mysql: wants %s, a check has " MYSQL_SHA2 " and " MYSQL_NATIVE,
                  check_quote(name, quoted));
    }
}

/* caching_sha2_password: the proof was enough, or it wants the password. */
static void take_more(struct check *ck, uint8_t sequence, struct str body)
{
    const char *password = ck->conf->health.password;
    const char ask = SHA2_KEY;

    if (!ck->sha2 || !has_password(ck) || body.len != 2 ||
        (body.p[1] != SHA2_FAST && body.p[1] != SHA2_FULL)) {
        say_bad(ck, "asks for a way to authenticate that is not known");
    } else if (body.p[1] == SHA2_FULL && check_is_private(ck)) {
        send_packet(ck, (uint8_t)(sequence + 1),
                    (struct str){(char *)password, strlen(password) + 1});
    } else if (body.p[1] == SHA2_FULL) {
        ck->step = STEP_KEY;
        send_packet(ck, (uint8_t)(sequence + 1), (struct str){(char *)&ask, 1});
    }
}

static void take_key(struct check *ck, uint8_t sequence, struct str body)
{
    struct str pem = {body.p + 1, body.len - 1};
    uint8_t secret[MYSQL_RSA_MAX];
    size_t n =
        body.p[0] == 1 ? mysql_sha2_encrypt(ck->conf->health.password, ck->seed, pem, secret) : 0;

    ck->step = STEP_AUTH;
    if (n > 0)
        send_packet(ck, (uint8_t)(sequence + 1), (struct str){(char *)secret, n});
    else
        say_bad(ck, "its public key will not do");
}

static void let_in(struct check *ck)
{
    const char query[] = "\x03" QUERY;

    if (ck->conf->health.role == CHECK_ROLE_ANY) {
        say_good(ck, "takes sessions");
        return;
    }
    ck->step = STEP_COLUMNS;
    send_packet(ck, 0, (struct str){query, sizeof(query) - 1});
}

static void take_auth(struct check *ck, uint8_t sequence, struct str body)
{
    if (body.p[0] == 0)
        let_in(ck);
    else if ((uint8_t)body.p[0] == 0xfe)
        switch_plugin(ck, sequence, body);
    else if (body.p[0] == 1)
        take_more(ck, sequence, body);
    else
        say_bad(ck, "asks for a way to authenticate that is not known");
}

/* ---- the query: how many columns, the column, an end, the row ---- */

static void take_row(struct check *ck, struct str body)
{
    bool one = body.len == 2 && body.p[0] == 1 && (body.p[1] == '0' || body.p[1] == '1');

    if (one)
        check_say_role(ck, body.p[1] == '0');
    else
        say_bad(ck, "an answer that is none to " QUERY);
}

static void take(struct check *ck, uint8_t sequence, struct str body)
{
    if ((uint8_t)body.p[0] == 0xff) {
        take_error(ck, body);
        return;
    }
    switch ((enum step)ck->step) {
    case STEP_GREETING:
        take_greeting(ck, body);
        return;
    case STEP_KEY:
        take_key(ck, sequence, body);
        return;
    case STEP_NO_TLS:
        check_say_no_tls(ck, NO_TLS);
        return;
    case STEP_AUTH:
        take_auth(ck, sequence, body);
        return;
    case STEP_COLUMNS:
    case STEP_COLUMN:
    case STEP_BEFORE_ROWS:
        ck->step++;
        return;
    case STEP_ROW:
        take_row(ck, body);
        return;
    }
}

/* The next packet of what was seen; false: it is not here, or it will not do. */
static bool next_packet(struct check *ck, uint8_t *out_sequence, struct str *out_body)
{
    struct str left = {ck->seen.p + ck->at, ck->seen.len - ck->at}, head;

    if (left.len < 4)
        return false;
    const uint8_t *p = (const uint8_t *)left.p;
    uint32_t n = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;
    if (n == 0 || n > PACKET_MAX) {
        say_bad(ck, "an answer that is not MySQL's");
        return false;
    }
    if (left.len < 4 + n || !check_next_bytes(ck, 4, &head) || !check_next_bytes(ck, n, out_body))
        return false;
    *out_sequence = (uint8_t)head.p[3];
    return true;
}

static bool tls_answer(struct check *ck, struct str data, struct strbuf *out)
{
    uint8_t sequence;
    struct str body;
    bool over = false;

    check_see(ck, data);
    while (!over && !ck->decided && next_packet(ck, &sequence, &body)) {
        if (ck->step == STEP_GREETING && (uint8_t)body.p[0] != 0xff)
            over = take_offer(ck, body, out);
        else
            take(ck, sequence, body);
    }
    if (!over && !ck->decided && check_seen_all(ck))
        say_bad(ck, "an answer without an end");
    return over || ck->decided;
}

static bool answer(struct check *ck, struct str data)
{
    uint8_t sequence;
    struct str body;

    check_see(ck, data);
    while (!ck->decided && next_packet(ck, &sequence, &body))
        take(ck, sequence, body);
    if (!ck->decided && check_seen_all(ck))
        say_bad(ck, "an answer without an end");
    if (ck->decided)
        send_packet(ck, 0, STR("\x01")); /* COM_QUIT */
    return ck->decided;
}

static bool rest(struct check *ck, struct str data)
{
    (void)ck, (void)data;
    return false;
}

static void ended(struct check *ck)
{
    say_bad(ck, "closed without an answer");
}

const struct check_kind check_kind_mysql = {
    .name = "mysql",
    .request = request,
    .sent = sent,
    .answer = answer,
    .ended = ended,
    .rest = rest,
    .ask_tls = ask_tls,
    .tls_answer = tls_answer,
};
