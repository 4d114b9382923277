/* bench_h1_parse.c - what a head costs: nanoseconds per parse for each level of vectors, and for
 * the other things that are done with every head. Not a test: figures depend on the machine. */
#include "lb/base/arena.h"
#include "lb/http/h1_parse.h"
#include "lb/http/h1_write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS 200000

static const char curl[] = "GET /13 HTTP/1.1\r\n"
                           "Host: 127.0.0.1:8080\r\n"
                           "User-Agent: curl/7.88.1\r\n"
                           "Accept: */*\r\n"
                           "\r\n";

static const char browser[] =
    "GET /assets/js/app.3f2a91c.js?v=20240611&lang=en HTTP/1.1\r\n"
    "Host: www.example.com\r\n"
    "Connection: keep-alive\r\n"
    "Cache-Control: max-age=0\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/124.0.0.0 Safari/537.36\r\n"
    "Accept: */*\r\n"
    "Sec-Fetch-Site: same-origin\r\n"
    "Sec-Fetch-Mode: no-cors\r\n"
    "Referer: https://www.example.com/index.html\r\n"
    "Accept-Encoding: gzip, deflate, br\r\n"
    "Accept-Language: en-GB,en;q=0.9\r\n"
    "Cookie: sid=4f9d0a7be21c; theme=dark\r\n"
    "\r\n";

static const char answer[] = "HTTP/1.1 200 OK\r\n"
                             "Server: nginx\r\n"
                             "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                             "Content-Type: text/html; charset=utf-8\r\n"
                             "Content-Length: 13\r\n"
                             "Connection: keep-alive\r\n"
                             "ETag: \"5f3a-13\"\r\n"
                             "Cache-Control: max-age=3600\r\n"
                             "\r\n";

static const struct h1_limits limits = {.head_bytes = 16384, .target_bytes = 8192, .fields = 100};

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void parse(const char *text, uint32_t len, struct http_head *h)
{
    struct h1_parser p = {0};
    enum h1_result r = text == answer
                           ? h1_parse_response(&p, (char *)text, len, &limits, HTTP_GET, h)
                           : h1_parse_request(&p, (char *)text, len, &limits, h);
    if (r != H1_DONE || p.at != len)
        abort();
}

static double parse_ns(const char *text, uint32_t len)
{
    struct http_field fields[100];
    struct http_head h = {.fields = fields, .max_fields = 100};
    double best = 1e9;
    for (int i = 0; i < 5; i++) {
        double start = now_ns();
        for (int k = 0; k < ROUNDS; k++)
            parse(text, len, &h);
        double ns = (now_ns() - start) / ROUNDS;
        best = ns < best ? ns : best;
    }
    return best;
}

/* Copy, strip, three fields more, write: what a request goes through. */
static double forward_ns(const char *text, uint32_t len)
{
    struct http_field fields[100];
    struct http_head h = {.fields = fields, .max_fields = 100}, copy;
    struct arena_pool pool;
    struct arena a;
    char out[4096];

    arena_pool_init(&pool);
    parse(text, len, &h);
    double start = now_ns();
    for (int k = 0; k < ROUNDS; k++) {
        arena_init(&a, &pool);
        int r = http_head_copy(&h, &a, &copy);
        http_strip_hop_by_hop(&copy, false);
        r |= http_head_set(&copy, &a, STR("X-Forwarded-For"), STR("192.0.2.17"));
        r |= http_head_set(&copy, &a, STR("X-Forwarded-Proto"), STR("http"));
        r |= http_head_set(&copy, &a, STR("X-Request-Id"), STR("0123456789abcdef0123456789abcdef"));
        struct h1_request_line line = {http_str(&copy, copy.method_text),
                                       http_str(&copy, copy.target),
                                       http_str(&copy, copy.authority)};
        if (r != 0 || h1_request_size(&copy, &line) > sizeof(out) ||
            h1_write_request(&copy, &line, &(struct h1_framing){0}, out) < len / 2)
            abort();
        arena_fini(&a);
    }
    double ns = (now_ns() - start) / ROUNDS;
    arena_pool_fini(&pool);
    return ns;
}

int main(void)
{
    static const char *const levels[] = {"plain C", "SSE4.2", "AVX2"};
    static const struct {
        const char *name, *text;
        uint32_t len;
    } heads[] = {{"curl", curl, sizeof(curl) - 1},
                 {"browser", browser, sizeof(browser) - 1},
                 {"answer", answer, sizeof(answer) - 1}};

    printf("%-10s %6s", "ns/head", "bytes");
    for (int level = 0; level < 3; level++)
        printf(" %8s", levels[level]);
    printf(" %8s\n", "forward");
    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        printf("%-10s %6u", heads[i].name, heads[i].len);
        for (int level = 0; level < 3; level++) {
            if (h1_parse_use(level))
                printf(" %8.0f", parse_ns(heads[i].text, heads[i].len));
            else
                printf(" %8s", "-");
        }
        if (heads[i].text != answer)
            printf(" %8.0f", forward_ns(heads[i].text, heads[i].len));
        printf("\n");
    }
    return 0;
}
