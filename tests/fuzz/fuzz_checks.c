/* fuzz_checks.c - what backends answer to checks that speak their protocol: FastCGI, uwsgi, SCGI,
 * Postgres, MySQL, Redis, SMTP, HTTP/2, gRPC; what is said in clear before TLS; what is said of a
 * program's end. Three bytes before the answer: the kind, what is configured, the sizes of pieces.
 * Whatever comes, there is one outcome at most, and nothing is read beyond it. */
#include "health/check.h"
#include "lb/base/assert.h"

#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const enum check_type kinds[] = {
    CHECK_TYPE_FASTCGI, CHECK_TYPE_UWSGI, CHECK_TYPE_SCGI, CHECK_TYPE_POSTGRES,
    CHECK_TYPE_MYSQL,   CHECK_TYPE_REDIS, CHECK_TYPE_SMTP,
};

static struct loop *the_loop(void)
{
    static const struct io_conf conf = {.engine = IO_EPOLL};
    static struct loop loop;
    static bool made;
    int rc = 0;

    if (!made) {
        struct io *io = io_new(&conf, &rc);
        sl_assert(io != NULL && loop_init(&loop, io, NULL) == 0);
        made = true;
    }
    return &loop;
}

/* Of the byte that says what is configured. */
enum { ASKS_FOR_TLS = 64, IS_PRIVATE = 128 };

static const struct check_kind *kind_of(uint8_t number)
{
    const struct check_kind *others[] = {&check_kind_http2, &check_kind_grpc, &check_kind_exec};
    size_t i = number % (ARRAY_LEN(kinds) + ARRAY_LEN(others));

    return i < ARRAY_LEN(kinds) ? check_kind_of(kinds[i]) : others[i - ARRAY_LEN(kinds)];
}

static void configure(struct health_conf *h, uint8_t how)
{
    h->role = (enum check_role)(how % 3);
    h->user = how & 4 ? "check" : NULL;
    h->password = how & 8 ? "secret" : NULL;
    h->body = how & 16 ? "pong" : NULL;
    h->method = how & 32 ? "HEAD" : "GET";
    h->path = "/ping.php/x?y";
    h->status[0] = (struct status_range){200, 399};
    h->n_status = 1;
}

static void feed(struct check *ck, const uint8_t *data, size_t n)
{
    char *copy = malloc(n);

    sl_assert(copy != NULL);
    memcpy(copy, data, n);
    if (!ck->decided)
        sl_assert(ck->kind->answer(ck, (struct str){copy, n}) == ck->decided);
    else if (ck->kind->rest != NULL && !ck->complete)
        ck->complete = ck->kind->rest(ck, (struct str){copy, n});
    free(copy);
}

/* As check_handshake.c does it, with the handshake left out; what of data comes after that. */
static size_t begin_tls(struct check *ck, const uint8_t *data, size_t size, size_t piece)
{
    size_t at = 0;
    bool over = false;

    ck->kind->ask_tls(ck, &ck->out);
    strbuf_fini(&ck->out);
    while (at < size && !over) {
        size_t n = piece < size - at ? piece : size - at;
        char *copy = malloc(n);
        sl_assert(copy != NULL);
        memcpy(copy, data + at, n);
        over = ck->kind->tls_answer(ck, (struct str){copy, n}, &ck->out);
        free(copy);
        at += n;
        sl_assert(over || !ck->decided);
    }
    sl_assert(ck->at <= ck->seen.len);
    if (!over && !ck->decided)
        ck->kind->ended(ck);
    strbuf_fini(&ck->out);
    strbuf_fini(&ck->seen);
    ck->at = 0;
    ck->asked = true;
    return at;
}

static void set_address(struct addr *a, bool is_private)
{
    const struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "/s"};
    const struct sockaddr_in in = {.sin_family = AF_INET};

    addr_from_sockaddr(a, is_private ? (const struct sockaddr *)&un : (const struct sockaddr *)&in,
                       is_private ? sizeof(un) : sizeof(in));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct checker_pool_conf conf = {0};
    struct check ck = {.conf = &conf};
    size_t at = 3;

    if (size < 3)
        return 0;
    ck.loop = the_loop();
    ck.kind = kind_of(data[0]);
    configure(&conf.health, data[1]);
    ck.stream.tx_dead = true; /* what it sends goes nowhere */
    ck.stream.fd = -1;
    size_t piece = 1 + data[2];
    set_address(&ck.addr, data[1] & IS_PRIVATE);
    if (ck.kind->ask_tls != NULL && data[1] & ASKS_FOR_TLS)
        at += begin_tls(&ck, data + at, size - at, piece);
    if (!ck.decided) {
        ck.kind->request(&ck, &ck.out);
        bool over = ck.kind->sent(&ck);
        for (; at < size && !over; at += piece)
            feed(&ck, data + at, piece < size - at ? piece : size - at);
    }
    if (!ck.decided)
        ck.kind->ended(&ck);
    sl_assert(ck.decided && ck.outcome.desc[0] != '\0');
    if (ck.kind->fini != NULL)
        ck.kind->fini(&ck);
    strbuf_fini(&ck.out);
    strbuf_fini(&ck.seen);
    return 0;
}
