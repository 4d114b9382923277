/* check_grpc.c - gRPC's health protocol (grpc.health.v1.Health/Check): whether the server, or one
 * service of it, says that it is SERVING. HTTP/2 always, in clear without asking. */
#include "health/check_h2.h"
#include "lb/net/stream_tls.h"

#include <stdlib.h>
#include <string.h>

#define PREFIX           5 /* of a message: compressed or not, its length */
#define MESSAGE_MAX      4096
#define SERVICE_MAX      255 /* as the configuration has it */
#define MESSAGE_TEXT_MAX CHECK_QUOTE_MAX

enum serving { UNKNOWN, SERVING, NOT_SERVING, SERVICE_UNKNOWN };

struct grpc {
    int status; /* grpc-status; -1: not said */
    char message[MESSAGE_TEXT_MAX];
    uint8_t body[MESSAGE_MAX];
    size_t len;
};

static struct grpc *of(struct check *ck)
{
    return ck->grpc;
}

static void on_field(struct check *ck, struct str name, struct str value)
{
    struct grpc *g = of(ck);
    uint64_t n;

    if (str_eq(name, STR(":status")) && str_u64(value, 999, &n) == 0)
        ck->http.status = (uint16_t)n;
    else if (str_eq(name, STR("grpc-status")) && str_u64(value, 99, &n) == 0)
        g->status = (int)n;
    else if (str_eq(name, STR("grpc-message")))
        check_quote(value, g->message);
}

static void on_head(struct check *ck)
{
    if (ck->http.status >= 200)
        ck->h2->headed = true;
}

static void on_data(struct check *ck, struct str data)
{
    struct grpc *g = of(ck);
    size_t room = sizeof(g->body) - g->len, n = data.len < room ? data.len : room;

    memcpy(g->body + g->len, data.p, n);
    g->len += n;
}

static const struct check_h2_calls calls = {on_field, on_head, on_data};

/* A HealthCheckRequest: field 1 is the service's name, left out where it is empty. */
static struct str message(const char *service, uint8_t out[static PREFIX + 3 + SERVICE_MAX])
{
    size_t n = service != NULL ? strlen(service) : 0, at = PREFIX;

    memset(out, 0, PREFIX);
    if (n > 0) {
        out[at++] = 1 << 3 | 2;
        if (n >= 128)
            out[at++] = (uint8_t)(n | 0x80);
        out[at++] = (uint8_t)(n >= 128 ? n >> 7 : n);
        memcpy(out + at, service, n);
        at += n;
    }
    out[3] = (uint8_t)((at - PREFIX) >> 8);
    out[4] = (uint8_t)(at - PREFIX);
    return (struct str){(const char *)out, at};
}

static void request(struct check *ck, struct strbuf *out)
{
    uint8_t body[PREFIX + 3 + SERVICE_MAX];
    char host[ADDR_TEXT_MAX];
    const nghttp2_nv head[] = {
        check_h2_field(":method", "POST"),
        check_h2_field(":scheme", stream_is_tls(&ck->stream) ? "https" : "http"),
        check_h2_field(":authority", check_http_host(ck, host)),
        check_h2_field(":path", "/grpc.health.v1.Health/Check"),
        check_h2_field("content-type", "application/grpc"),
        check_h2_field("te", "trailers"),
        check_h2_field("user-agent", "sluice-health/" SLUICE_VERSION),
    };

    ck->grpc = calloc(1, sizeof(*ck->grpc));
    if (ck->grpc == NULL)
        return;
    ck->grpc->status = -1;
    check_h2_open(ck, head, ARRAY_LEN(head), message(ck->conf->health.service, body), &calls, out);
}

static bool sent(struct check *ck)
{
    return !check_h2_ready(ck);
}

/* ---- the answer ---- */

static bool varint(const uint8_t **at, const uint8_t *end, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; *at < end && shift < 64; shift += 7) {
        uint8_t byte = *(*at)++;
        *out |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

/* Field 1 of a HealthCheckResponse; others, of versions to come, are passed over. False: this is
 * none. */
static bool parse(const uint8_t *at, size_t len, enum serving *out)
{
    const uint8_t *end = at + len;
    uint64_t key, value;

    *out = UNKNOWN;
    while (at < end) {
        if (!varint(&at, end, &key))
            return false;
        switch (key & 7) {
        case 0:
            if (!varint(&at, end, &value))
                return false;
            if (key >> 3 == 1)
                *out = value <= SERVICE_UNKNOWN ? (enum serving)value : UNKNOWN;
            continue;
        case 1:
            value = 8;
            break;
        case 2:
            if (!varint(&at, end, &value))
                return false;
            break;
        case 5:
            value = 4;
            break;
        default:
            return false;
        }
        if (value > (size_t)(end - at))
            return false;
        at += value;
    }
    return true;
}

static const char *status_text(int status)
{
    static const char *const texts[] = {"ok",
                                        "cancelled",
                                        "unknown",
                                        "invalid argument",
                                        "too late",
                                        "no such service",
                                        "already exists",
                                        "permission denied",
                                        "exhausted",
                                        "wrong state",
                                        "aborted",
                                        "out of range",
                                        "no health service",
                                        "internal error",
                                        "unavailable",
                                        "data loss",
                                        "unauthenticated"};

    return (size_t)status < ARRAY_LEN(texts) ? texts[status] : "?";
}

static void judge_message(struct check *ck)
{
    static const char *const words[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};
    const struct grpc *g = of(ck);
    enum serving serving;
    size_t len = g->len >= PREFIX ? (size_t)g->body[3] << 8 | g->body[4] : 0;

    if (g->len < PREFIX || g->body[0] != 0 || g->body[1] != 0 || g->body[2] != 0 ||
        len != g->len - PREFIX || !parse(g->body + PREFIX, len, &serving))
        check_say(ck, CHECK_FAILED, CHECK_L7RSP, 0, "the answer is no HealthCheckResponse");
    else if (serving == SERVING)
        check_say(ck, CHECK_PASSED, CHECK_L7OK, 0, "SERVING");
    else
        check_say(ck, CHECK_FAILED, CHECK_L7STS, 0, "%s, expected SERVING", words[serving]);
}

static void judge(struct check *ck)
{
    const struct grpc *g = of(ck);

    if (check_h2_failed(ck))
        return;
    if (ck->http.status != 200)
        check_say(ck, CHECK_FAILED, CHECK_L7STS, ck->http.status, "HTTP %u, expected 200",
                  ck->http.status);
    else if (g->status < 0)
        check_say(ck, CHECK_FAILED, CHECK_L7RSP, 0, "no grpc-status: is this a gRPC server?");
    else if (g->status != 0)
        check_say(ck, CHECK_FAILED, CHECK_L7STS, (uint32_t)g->status, "grpc-status %d (%s)%s%s",
                  g->status, status_text(g->status), g->message[0] != '\0' ? ": " : "", g->message);
    else
        judge_message(ck);
}

static bool answer(struct check *ck, struct str data)
{
    ck->complete = check_h2_feed(ck, data);
    if (ck->complete)
        judge(ck);
    return ck->decided;
}

static void ended(struct check *ck)
{
    check_say(ck, CHECK_FAILED, CHECK_L7RSP, ck->http.status,
              ck->h2->headed ? "closed before the end of the answer" : "closed without an answer");
}

static void fini(struct check *ck)
{
    check_h2_fini(ck);
    free(ck->grpc);
    ck->grpc = NULL;
}

const struct check_kind check_kind_grpc = {
    .name = "grpc",
    .request = request,
    .sent = sent,
    .answer = answer,
    .ended = ended,
    .fini = fini,
};
