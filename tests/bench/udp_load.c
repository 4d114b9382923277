/* udp_load.c - load of datagrams for bench.py: each of N sockets sends one, waits for its echo, and
 * sends the next; one that does not come back within a second is lost. Prints the same line of JSON
 * as load.c. usage: udp_load [-t SECONDS] [-c SOCKETS] [-b BYTES] [-p PID,...] ADDR:PORT */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SOCKETS_MAX 10000
#define SAMPLES_MAX (1 << 22)
#define LOST_NS     1000000000ull

static struct client {
    int fd;
    uint64_t sent_ns;
} clients[SOCKETS_MAX];
static uint32_t *samples; /* us */
static uint64_t n_samples, n_lost;

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* Time on a processor of these processes, by their first threads and all others. */
static uint64_t cpu_ns(const char *pids)
{
    uint64_t sum = 0;
    char list[4096], command[128];

    snprintf(list, sizeof(list), "%s", pids);
    for (char *pid = strtok(list, ","); pid != NULL; pid = strtok(NULL, ",")) {
        snprintf(command, sizeof(command), "cat /proc/%d/task/*/schedstat", atoi(pid));
        FILE *f = popen(command, "r");
        uint64_t run, wait, slices;
        while (f != NULL &&
               fscanf(f, "%" SCNu64 " %" SCNu64 " %" SCNu64, &run, &wait, &slices) == 3)
            sum += run;
        if (f != NULL)
            pclose(f);
    }
    return sum;
}

static void ask(struct client *c, const uint8_t *bytes, size_t len)
{
    c->sent_ns = now_ns();
    (void)!send(c->fd, bytes, len, MSG_DONTWAIT);
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static void take(struct client *c, const uint8_t *bytes, size_t len)
{
    uint8_t back[65536];
    bool any = false;

    while (recv(c->fd, back, sizeof(back), MSG_DONTWAIT) >= 0)
        any = true;
    if (!any)
        return;
    if (n_samples < SAMPLES_MAX)
        samples[n_samples] = (uint32_t)((now_ns() - c->sent_ns) / 1000);
    n_samples++;
    ask(c, bytes, len);
}

int main(int argc, char **argv)
{
    double seconds = 2;
    int n = 64, opt;
    size_t len = 64;
    const char *pids = "";
    struct sockaddr_in to = {.sin_family = AF_INET};
    struct epoll_event events[256];
    static uint8_t bytes[65507];

    while ((opt = getopt(argc, argv, "t:c:b:p:")) != -1) {
        if (opt == 't')
            seconds = atof(optarg);
        else if (opt == 'c')
            n = atoi(optarg) < SOCKETS_MAX ? atoi(optarg) : SOCKETS_MAX;
        else if (opt == 'b')
            len = (size_t)atoi(optarg) < sizeof(bytes) ? (size_t)atoi(optarg) : sizeof(bytes);
        else if (opt == 'p')
            pids = optarg;
    }
    char *colon = optind < argc ? strchr(argv[optind], ':') : NULL;
    if (colon == NULL)
        return 2;
    *colon = '\0';
    inet_pton(AF_INET, argv[optind], &to.sin_addr);
    to.sin_port = htons((uint16_t)atoi(colon + 1));
    samples = malloc(SAMPLES_MAX * sizeof(*samples));
    int ep = epoll_create1(0);
    for (int i = 0; i < n; i++) {
        clients[i].fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        if (connect(clients[i].fd, (struct sockaddr *)&to, sizeof(to)) < 0)
            return 1;
        epoll_ctl(ep, EPOLL_CTL_ADD, clients[i].fd,
                  &(struct epoll_event){.events = EPOLLIN, .data.ptr = &clients[i]});
        ask(&clients[i], bytes, len);
    }
    uint64_t before = cpu_ns(pids), begin = now_ns(), looked = begin;
    uint64_t end = begin + (uint64_t)(seconds * 1e9), now;
    while ((now = now_ns()) < end) {
        int got = epoll_wait(ep, events, 256, 100);
        for (int i = 0; i < got; i++)
            take(events[i].data.ptr, bytes, len);
        if (now - looked < LOST_NS / 4)
            continue;
        looked = now;
        for (int i = 0; i < n; i++) {
            if (now - clients[i].sent_ns < LOST_NS || now < clients[i].sent_ns)
                continue;
            n_lost++;
            ask(&clients[i], bytes, len);
        }
    }
    uint64_t used = cpu_ns(pids) - before;
    double took = (double)(now_ns() - begin) / 1e9;
    uint64_t kept = n_samples < SAMPLES_MAX ? n_samples : SAMPLES_MAX;
    qsort(samples, kept, sizeof(*samples), by_value);
    printf("{\"requests\": %" PRIu64 ", \"errors\": %" PRIu64 ", \"cpu_ns\": %" PRIu64
           ", \"rate\": %.0f, \"p50_us\": %u, \"p99_us\": %u}\n",
           n_samples, n_lost, used, (double)n_samples / took, kept ? samples[kept / 2] : 0,
           kept ? samples[kept - 1 - kept / 100] : 0);
    return 0;
}
