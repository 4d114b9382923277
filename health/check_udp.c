/* check_udp.c - checks by datagrams: one is sent, and an answer is expected. `udp` sends what the
 * configuration says and looks for text in what comes (any answer will do without); `dns` asks a
 * name server for a name's address.
 *
 * A datagram may be lost, as may its answer: that is what `fall` is for. */
#include "health/check.h"

#include <stdio.h>
#include <string.h>

static bool sent(struct check *ck)
{
    (void)ck;
    return false; /* only an answer says something */
}

/* An empty datagram ends the stream that this is to check.c. */
static void ended(struct check *ck)
{
    check_say(ck, CHECK_FAILED, CHECK_L7RSP, 0, "the answer was empty");
}

/* ---- udp ---- */

static void udp_request(struct check *ck, struct strbuf *out)
{
    strbuf_add(out, ck->conf->health.send, ck->conf->health.send_len);
}

static bool udp_answer(struct check *ck, struct str data)
{
    const char *expect = ck->conf->health.expect;
    char wanted[CHECK_QUOTE_MAX], got[CHECK_QUOTE_MAX];

    if (expect == NULL)
        check_say(ck, CHECK_PASSED, CHECK_L7OK, 0, "answered with %zu bytes", data.len);
    else if (check_find(ck, data, str_of(expect)))
        check_say(ck, CHECK_PASSED, CHECK_L7OK, 0, "answer contains \"%s\"",
                  check_quote(str_of(expect), wanted));
    else
        check_say(ck, CHECK_FAILED, CHECK_L7RSP, 0, "answer does not contain \"%s\": \"%s\"",
                  check_quote(str_of(expect), wanted), check_quote(data, got));
    return true;
}

const struct check_kind check_kind_udp = {
    .name = "udp",
    .request = udp_request,
    .sent = sent,
    .answer = udp_answer,
    .ended = ended,
};

/* ---- dns (RFC 1035) ---- */

#define DNS_HEAD 12
#define DNS_NAME 255
#define TYPE_A   1
#define TYPE_NS  2
#define CLASS_IN 1
#define NOERROR  0
#define NXDOMAIN 3

/* Labels of a name; the root for none. False: it is no name. */
static bool write_name(struct str name, struct strbuf *out)
{
    size_t before = out->len;

    if (str_eq(name, STR(".")))
        name.len = 0;
    while (name.len > 0) {
        const char *dot = memchr(name.p, '.', name.len);
        size_t len = dot != NULL ? (size_t)(dot - name.p) : name.len;
        if (len == 0 || len > 63)
            return false;
        strbuf_add_char(out, (char)len);
        strbuf_add(out, name.p, len);
        len += dot != NULL ? 1 : 0;
        name = (struct str){name.p + len, name.len - len};
    }
    strbuf_add_char(out, '\0');
    return out->len - before <= DNS_NAME;
}

bool check_dns_is_name(struct str name)
{
    struct strbuf out = {0};
    bool good = write_name(name, &out);

    strbuf_fini(&out);
    return good;
}

/* Nobody is to guess it: a forged answer would keep a dead server in use. */
static uint16_t id_of(struct check *ck)
{
    if (ck->at == 0)
        ck->at = (io_random(ck->loop->io) & 0xffff) | 0x10000;
    return (uint16_t)ck->at;
}

static void dns_request(struct check *ck, struct strbuf *out)
{
    const char *host = ck->conf->health.host;
    struct str name = str_of(host != NULL ? host : ".");
    uint16_t id = id_of(ck), type = str_eq(name, STR(".")) ? TYPE_NS : TYPE_A;
    const char head[DNS_HEAD] = {(char)(id >> 8), (char)id, 1 /* recursion */, 0, 0, 1};
    const char question[4] = {0, (char)type, 0, CLASS_IN};

    strbuf_add(out, head, sizeof(head));
    (void)write_name(name, out); /* checked at load */
    strbuf_add(out, question, sizeof(question));
}

static bool dns_answer(struct check *ck, struct str data)
{
    static const char *const rcodes[16] = {"NOERROR",  "FORMERR", "SERVFAIL",
                                           "NXDOMAIN", "NOTIMP",  "REFUSED"};
    const uint8_t *p = (const uint8_t *)data.p;

    if (data.len < DNS_HEAD || !(p[2] & 0x80)) {
        check_say(ck, CHECK_FAILED, CHECK_L7RSP, 0, "not an answer of a name server");
        return true;
    }
    if (((uint16_t)(p[0] << 8) | p[1]) != id_of(ck))
        return false; /* to another question: ours may come */
    unsigned rcode = p[3] & 15;
    bool good = rcode == NOERROR || rcode == NXDOMAIN;
    check_say(ck, good ? CHECK_PASSED : CHECK_FAILED, good ? CHECK_L7OK : CHECK_L7STS, rcode,
              "answered %s", rcodes[rcode] != NULL ? rcodes[rcode] : "with an unknown code");
    return true;
}

const struct check_kind check_kind_dns = {
    .name = "dns",
    .request = dns_request,
    .sent = sent,
    .answer = dns_answer,
    .ended = ended,
};
