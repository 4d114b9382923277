/* fuzz_explain.c - any words behind `explain` on the stats socket: answered or refused, and what is
 * told of a request that is taken holds together. */
#include "lb/base/alloc.h"
#include "lb/config/conf.h"
#include "lb/main/explain.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char config[] =
    "pools = ( { name = \"p\"; mode = \"http\"; balance = \"hash\"; hash = { key = \"query:k\"; "
    "};\n"
    "  sticky = { cookie = \"S\"; secret = \"0123456789abcdef0123456789abcdef\"; };\n"
    "  backends = ( { name = \"a\"; address = \"10.0.0.1:1\"; } ); } );\n"
    "listeners = ( { name = \"w\"; mode = \"http\"; bind = \"127.0.0.1:8080\"; trusted_proxies = "
    "\"127.0.0.0/8\"; routes = (\n"
    "  { path = \"/r\"; redirect = { to = \"https://$host/x$path\"; }; },\n"
    "  { host = \"*.example\"; pool = \"p\"; set_host = \"$query_h\"; replace_path = \"/$1\"; },\n"
    "  { path = \"~^/u/([^/]*)/(.*)\"; pool = \"p\"; replace_path = \"/$2/$1\"; request_headers = "
    "{ set = ( { name = \"X-A\"; value = \"$uri $header_x_b $cookie_c\"; } ); remove = \"X-*\"; "
    "}; },\n"
    "  { pool = \"p\"; strip_prefix = \"/a\"; ratelimit = { key = \"cookie:c\"; rate = \"1/s\"; }; "
    "} "
    ") } );\n";

static struct conf *conf;
static struct explain_offline world;

static void start(void)
{
    struct strbuf errors = {0};

    conf = conf_load_text("fuzz.conf", config, &errors);
    if (conf == NULL)
        fputs(errors.p, stderr);
    sl_assert(conf != NULL && explain_offline_init(&world, conf, &errors));
    world.world.without_backends = true; /* the rest is slow */
}

/* Words are separated by NUL. */
static uint32_t split(const uint8_t *data, size_t size, struct str *words, uint32_t max)
{
    uint32_t n = 0;

    for (size_t at = 0; at < size && n < max;) {
        const uint8_t *end = memchr(data + at, 0, size - at);
        size_t len = end != NULL ? (size_t)(end - data) - at : size - at;
        words[n++] = (struct str){(const char *)data + at, len};
        at += len + 1;
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct strbuf error = {0}, text = {0};
    struct explain_words asked;
    struct explanation *e = NULL;
    struct str words[64];

    if (world.listeners == NULL)
        start();
    bool joined = size > 0 && data[0] & 1;
    uint32_t n = size > 0 ? split(data + 1, size - 1, words, ARRAY_LEN(words)) : 0;
    int rc = explain_words(words, n, joined, &asked, &error);
    sl_assert((rc < 0) == (error.len > 0));
    if (rc == 0) {
        e = explain_new(&world.world, &asked.question, &error);
        sl_assert((e == NULL) == (error.len > 0));
    }
    if (e != NULL) {
        sl_assert(e->taken == (e->reason == NULL));
        sl_assert(!e->taken || e->route != NULL);
        sl_assert((e->route != NULL) == (e->n_rules > 0 && e->rules[e->n_rules - 1].hit));
        sl_assert(e->status != 0 || e->n_pools > 0);
        explain_text(e, &text);
        explain_json(e, &text);
    }
    explain_free(&e);
    explain_words_fini(&asked);
    strbuf_fini(&error);
    strbuf_fini(&text);
    return 0;
}
