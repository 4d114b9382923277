/* bench_access_log.c - what an access line costs in each format, and adding to a histogram.
 *
 * Prints nanoseconds per line and per value. Not a test: figures depend on the machine. */
#include "lb/base/rand.h"
#include "lb/http/msg.h"
#include "lb/net/addr.h"
#include "lb/obs/access_log.h"
#include "lb/obs/histogram.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define LINES  500000
#define VALUES 20000000

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void bench_format(const char *text, struct access_record *r)
{
    char line[ACCESS_LINE_MAX];
    const char *error;
    struct access_format *f = access_format_compile(text, &error);
    size_t bytes = 0;

    if (f == NULL)
        abort();
    double start = now_ns();
    for (int i = 0; i < LINES; i++) {
        r->start_wall_us += 10; /* 100,000 a second */
        bytes += access_format_write(f, r, line);
    }
    printf("%-10s %6.0f ns  %zu bytes\n", text, (now_ns() - start) / LINES, bytes / LINES);
    access_format_free(&f);
}

static void bench_histogram(void)
{
    struct histogram *h = histogram_rows_new(1);
    uint64_t v = 1;

    double start = now_ns();
    for (int i = 0; i < VALUES; i++) {
        v = v * 6364136223846793005u + 1442695040888963407u;
        histogram_add(h, v >> 44); /* up to a second */
    }
    printf("%-10s %6.1f ns\n", "histogram", (now_ns() - start) / VALUES);
    histogram_rows_free(&h, 1);
}

int main(void)
{
    static const struct http_head head = {.version = 11};
    struct addr_spec client, backend;
    const char *error;

    if (addr_parse(STR("203.0.113.7:33317"), false, false, &client, &error) < 0 ||
        addr_parse(STR("10.0.0.7:3001"), false, false, &backend, &error) < 0)
        abort();
    struct access_http http = {
        .request = &head,
        .method = STR("GET"),
        .uri = STR("/api/v1/items/1234?page=2&sort=name"),
        .host = STR("www.example.com"),
        .user_agent = STR("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
                          "Chrome/118.0.0.0 Safari/537.36"),
        .referer = STR("https://www.example.com/start/of/it/all"),
        .request_id = STR("7f3a9c0d11224433"),
        .route = "web#2",
        .status = 200,
        .head_us = 80,
        .response_us = 1600,
        .body_bytes_out = 2326,
    };
    struct access_record r = {
        .id = 0x0200000000000007,
        .client = &client.addr,
        .listener_addr = &backend.addr,
        .backend_addr = &backend.addr,
        .listener = "web",
        .pool = "app",
        .backend = "a",
        .start_wall_us = 1233922454655321,
        .total_us = 1999,
        .bytes_in = 243,
        .bytes_out = 2750,
        .http = &http,
    };
    bench_format("combined", &r);
    bench_format("httplog", &r);
    bench_format("tcplog", &r);
    bench_format("json", &r);
    bench_histogram();
    return 0;
}
