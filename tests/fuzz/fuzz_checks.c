/* fuzz_checks.c - what backends answer to checks that speak their protocol: FastCGI, uwsgi, SCGI,
 * Postgres, MySQL, Redis, SMTP, HTTP/2, gRPC. Three bytes before the answer: the kind, what is
 * configured, the sizes of pieces. Whatever comes, there is one outcome at most, and nothing is
 * read beyond it. */
#include "health/check.h"
#include "lb/base/assert.h"

#include <stdlib.h>
#include <string.h>

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct checker_pool_conf conf = {0};
    struct check ck = {.conf = &conf};

    if (size < 3)
        return 0;
    ck.loop = the_loop();
    size_t kind = data[0] % (ARRAY_LEN(kinds) + 2);
    ck.kind = kind < ARRAY_LEN(kinds)    ? check_kind_of(kinds[kind])
              : kind == ARRAY_LEN(kinds) ? &check_kind_http2
                                         : &check_kind_grpc;
    configure(&conf.health, data[1]);
    ck.stream.tx_dead = true; /* what it sends goes nowhere */
    ck.stream.fd = -1;
    ck.addr.len = 0;
    size_t piece = 1 + data[2];
    addr_from_sockaddr(&ck.addr, (struct sockaddr *)&(struct sockaddr_in){.sin_family = AF_INET},
                       sizeof(struct sockaddr_in));
    ck.kind->request(&ck, &ck.out);
    bool over = ck.kind->sent(&ck);
    for (size_t at = 3; at < size && !over; at += piece)
        feed(&ck, data + at, piece < size - at ? piece : size - at);
    if (!ck.decided)
        ck.kind->ended(&ck);
    sl_assert(ck.decided && ck.outcome.desc[0] != '\0');
    if (ck.kind->fini != NULL)
        ck.kind->fini(&ck);
    strbuf_fini(&ck.out);
    strbuf_fini(&ck.seen);
    return 0;
}
