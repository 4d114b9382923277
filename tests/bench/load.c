/* load.c - HTTP/1.1 load for the benchmark: one thread, epoll, no allocation while it measures.
 *
 *   load [options] HOST:PORT
 *     -c N   connections (64)            -t S   seconds measured (4)     -w S  seconds before (0.5)
 *     -r N   open loop: N requests per second at fixed times; else closed loop
 *     -k     a connection per request (Connection: close)
 *     -i N   N more connections that do one request each and then stay idle
 *     -p PID[,PID...]  processes whose CPU time is measured over the same window
 *     -m     only the -i connections: opens them, says so ("idle\n"), waits for the end of stdin
 *     -T     over TLS (no certificate is checked); -R: resumed sessions, where it connects again
 *
 * Closed loop: each connection has one request under way, always. Open loop: requests have their
 * times whatever happens; one that finds no free connection waits, and its latency counts from the
 * time it was meant for, so a stall of the proxy is seen by all requests it delays (no coordinated
 * omission). Prints one JSON object. An answer must be 200 with a Content-Length. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEAD_MAX 1024
#define NS       1000000000ull

enum conn_state { CONN_CLOSED, CONN_CONNECTING, CONN_HANDSHAKE, CONN_IDLE, CONN_WAITING };

struct conn {
    int fd;
    enum conn_state state;
    SSL *ssl;     /* NULL: in clear */
    bool parked;  /* one of -i: no second request */
    bool in_free; /* stands in the list of free connections */
    bool in_body;
    uint32_t head_len;
    uint64_t body_left;
    uint64_t due_ns; /* the time its request was meant for */
    struct conn *next_free;
    char head[HEAD_MAX];
};

/* Log-linear: 64 steps per power of two, so a value is known to 1.6 %. */
#define HIST_SUB 64
struct histogram {
    uint64_t counts[64 * HIST_SUB];
    uint64_t n, sum, max;
};

static struct {
    int connections, idle;
    double seconds, warmup, rate;
    bool close_each, only_idle, tls, resume;
    char *pids;
    const char *path; /* that is asked for */
    struct sockaddr_in to;
} opt = {.connections = 64, .seconds = 4, .warmup = 0.5, .path = "/"};

static int epfd;
static struct conn *conns;
static struct conn *free_first; /* open loop: connections without a request */
static char request[256];
static size_t request_len;
static struct histogram hist;
static uint64_t now_ns, measure_from, measure_to, requests, errors, body_bytes, connects;
static uint64_t sent_n, open_start; /* open loop: requests whose time has come */
static int parked_ready;
static SSL_CTX *tls;
static SSL_SESSION *tls_session; /* the latest, to be resumed */
static uint64_t resumed;

static void fail(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS + (uint64_t)t.tv_nsec;
}

static void hist_add(struct histogram *h, uint64_t v)
{
    unsigned shift = v < HIST_SUB ? 0 : (unsigned)(63 - __builtin_clzll(v)) - 5;
    uint64_t at = shift == 0 ? v : shift * (HIST_SUB / 2) + (v >> shift);
    h->counts[at]++;
    h->n++;
    h->sum += v;
    if (v > h->max)
        h->max = v;
}

/* Upper end of the bucket that holds the value at this share of all. */
static double hist_at_us(const struct histogram *h, double share)
{
    uint64_t want = (uint64_t)ceil(share * (double)h->n), seen = 0;
    for (uint64_t i = 0; i < 64 * HIST_SUB; i++) {
        seen += h->counts[i];
        if (seen >= want && seen > 0) {
            if (i < HIST_SUB)
                return (double)i / 1000;
            uint64_t shift = i / (HIST_SUB / 2) - 1;
            uint64_t v = ((i - shift * (HIST_SUB / 2) + 1) << shift) - 1;
            return (double)(v > h->max ? h->max : v) / 1000;
        }
    }
    return 0;
}

/* CPU time of all threads of the watched processes, from the scheduler's own counts. */
static uint64_t watched_cpu_ns(void)
{
    uint64_t total = 0;
    if (opt.pids == NULL)
        return 0;
    char list[1024];
    snprintf(list, sizeof(list), "%s", opt.pids);
    char *save;
    for (char *pid = strtok_r(list, ",", &save); pid; pid = strtok_r(NULL, ",", &save)) {
        char path[600];
        snprintf(path, sizeof(path), "/proc/%s/task", pid);
        DIR *dir = opendir(path);
        if (dir == NULL)
            fail(path);
        for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
            if (e->d_name[0] == '.')
                continue;
            unsigned long long ran = 0;
            snprintf(path, sizeof(path), "/proc/%s/task/%s/schedstat", pid, e->d_name);
            FILE *f = fopen(path, "r");
            if (f && fscanf(f, "%llu", &ran) == 1)
                total += ran;
            if (f)
                fclose(f);
        }
        closedir(dir);
    }
    return total;
}

static int on_session(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    SSL_SESSION_free(tls_session);
    tls_session = session;
    return 1; /* ours now */
}

static void tls_start(void)
{
    tls = SSL_CTX_new(TLS_client_method());
    if (tls == NULL)
        fail("TLS");
    SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
    if (opt.resume) {
        SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(tls, on_session);
    }
}

/* As recv(2) and send(2), on whatever the connection is. */
static ssize_t conn_recv(struct conn *c, void *buf, size_t size)
{
    size_t n;

    if (c->ssl == NULL)
        return recv(c->fd, buf, size, 0);
    if (SSL_read_ex(c->ssl, buf, size, &n))
        return (ssize_t)n;
    int why = SSL_get_error(c->ssl, 0);
    if (why == SSL_ERROR_ZERO_RETURN)
        return 0;
    errno = why == SSL_ERROR_WANT_READ ? EAGAIN : ECONNRESET;
    return -1;
}

static ssize_t conn_send(struct conn *c, const void *data, size_t len)
{
    size_t n;

    if (c->ssl == NULL)
        return send(c->fd, data, len, MSG_NOSIGNAL);
    return SSL_write_ex(c->ssl, data, len, &n) ? (ssize_t)n : -1;
}

static void conn_open(struct conn *c)
{
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        fail("socket");
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(c->fd, (struct sockaddr *)&opt.to, sizeof(opt.to)) < 0 && errno != EINPROGRESS)
        fail("connect");
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
    if (epoll_ctl(epfd, EPOLL_CTL_ADD, c->fd, &ev) < 0)
        fail("epoll_ctl");
    c->state = CONN_CONNECTING;
    if (opt.tls) {
        c->ssl = SSL_new(tls);
        if (c->ssl == NULL || !SSL_set_fd(c->ssl, c->fd))
            fail("TLS");
        SSL_set_connect_state(c->ssl);
        SSL_set_tlsext_host_name(c->ssl, "bench.example");
        if (tls_session != NULL)
            SSL_set_session(c->ssl, tls_session);
    }
    c->head_len = 0;
    c->in_body = false;
    connects++;
}

static void conn_close(struct conn *c)
{
    if (c->ssl != NULL) /* or its session would not be resumed */
        SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(c->ssl);
    c->ssl = NULL;
    close(c->fd);
    c->fd = -1;
    c->state = CONN_CLOSED;
}

static void request_send(struct conn *c, uint64_t due)
{
    c->due_ns = due;
    c->state = CONN_WAITING;
    c->head_len = 0;
    c->in_body = false;
    ssize_t n = conn_send(c, request, request_len);
    if (n != (ssize_t)request_len) { /* a new request always fits */
        errors++;
        conn_close(c);
        conn_open(c);
    }
}

/* The connection may take a request now. */
static void conn_ready(struct conn *c)
{
    if (c->parked) {
        c->state = CONN_IDLE;
        parked_ready++;
    } else if (opt.rate == 0) {
        request_send(c, clock_ns());
    } else {
        c->state = CONN_IDLE;
        if (c->in_free) /* it failed while it stood there */
            return;
        c->in_free = true;
        c->next_free = free_first;
        free_first = c;
    }
}

static void answer_done(struct conn *c)
{
    uint64_t now = clock_ns();
    /* By the time it was meant for, open loop too: late ones count. */
    uint64_t counted_at = opt.rate == 0 ? now : c->due_ns;
    if (!c->parked && counted_at >= measure_from && counted_at < measure_to) {
        requests++;
        hist_add(&hist, now > c->due_ns ? now - c->due_ns : 0);
    }
    if (!opt.close_each)
        conn_ready(c);
    /* else: the end of the stream comes next */
}

static bool head_parse(struct conn *c, uint64_t *out_length)
{
    static const char field[] = "\r\ncontent-length:";
    c->head[c->head_len < HEAD_MAX ? c->head_len : HEAD_MAX - 1] = '\0';
    if (strncmp(c->head, "HTTP/1.1 200", 12) != 0)
        return false;
    const char *at = strcasestr(c->head, field);
    if (at == NULL)
        return false;
    *out_length = strtoull(at + sizeof(field) - 1, NULL, 10);
    return true;
}

/* Feeds bytes of an answer. False: nonsense. */
static bool answer_feed(struct conn *c, const char *data, size_t len)
{
    if (!c->in_body) {
        size_t room = HEAD_MAX - 1 - c->head_len, take = len < room ? len : room;
        uint32_t before = c->head_len;
        memcpy(c->head + before, data, take);
        c->head_len += (uint32_t)take;
        char *end = memmem(c->head, c->head_len, "\r\n\r\n", 4);
        if (end == NULL)
            return c->head_len < HEAD_MAX - 1;
        if (!head_parse(c, &c->body_left))
            return false;
        size_t used = (size_t)(end + 4 - c->head) - before;
        data += used;
        len -= used;
        c->in_body = true;
    }
    if (len > c->body_left || c->state != CONN_WAITING)
        return false; /* more than was asked for */
    c->body_left -= len;
    body_bytes += len;
    if (c->body_left == 0)
        answer_done(c);
    return true;
}

static void conn_failed(struct conn *c)
{
    errors++;
    conn_close(c);
    conn_open(c);
}

static void on_readable(struct conn *c)
{
    static char buf[256 << 10];
    for (;;) {
        ssize_t n = conn_recv(c, buf, sizeof(buf));
        if (n > 0) {
            if (!answer_feed(c, buf, (size_t)n)) {
                conn_failed(c);
                return;
            }
            /* A short answer has come whole; asking again would only cost a call. */
            if ((size_t)n < sizeof(buf) && !opt.close_each && c->body_left == 0 && c->ssl == NULL)
                return;
            continue;
        }
        if (n < 0 && errno == EAGAIN)
            return;
        bool whole = n == 0 && opt.close_each && c->in_body && c->body_left == 0;
        if (!whole) {
            conn_failed(c);
            return;
        }
        conn_close(c);
        conn_open(c);
        return;
    }
}

static void conn_connected(struct conn *c)
{
    if (c->parked)
        request_send(c, clock_ns());
    else
        conn_ready(c);
}

static void on_handshake(struct conn *c)
{
    int rc = SSL_do_handshake(c->ssl);

    if (rc == 1) {
        resumed += SSL_session_reused(c->ssl) != 0;
        conn_connected(c);
    } else if (SSL_get_error(c->ssl, rc) != SSL_ERROR_WANT_READ) {
        conn_failed(c);
    }
}

static void on_event(struct conn *c, uint32_t events)
{
    if (c->state == CONN_HANDSHAKE) {
        on_handshake(c);
        return;
    }
    if (c->state == CONN_CONNECTING) {
        int err = 0;
        socklen_t len = sizeof(err);
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len);
        if (err != 0) {
            conn_failed(c);
            return;
        }
        if (!(events & EPOLLOUT))
            return;
        if (c->ssl == NULL) {
            conn_connected(c);
            return;
        }
        c->state = CONN_HANDSHAKE;
        on_handshake(c);
        return;
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        on_readable(c);
}

/* Open loop: starts what is due, returns nanoseconds until the next. */
static uint64_t open_loop_step(void)
{
    double gap = (double)NS / opt.rate;
    for (;;) {
        uint64_t due = open_start + (uint64_t)((double)sent_n * gap);
        uint64_t now = clock_ns();
        if (due > now)
            return due - now;
        struct conn *c = free_first;
        if (c == NULL)
            return NS / 1000; /* all busy: an answer wakes us */
        free_first = c->next_free;
        c->in_free = false;
        if (c->state != CONN_IDLE)
            continue; /* it failed meanwhile and comes back by itself */
        sent_n++;
        request_send(c, due);
    }
}

static void turn(uint64_t wait_ns)
{
    struct epoll_event events[256];
    if (opt.rate > 0) {
        uint64_t next = open_loop_step();
        if (next < wait_ns)
            wait_ns = next;
    }
    struct timespec timeout = {(time_t)(wait_ns / NS), (long)(wait_ns % NS)};
    int n = epoll_pwait2(epfd, events, 256, &timeout, NULL);
    if (n < 0 && errno != EINTR)
        fail("epoll_pwait2");
    for (int i = 0; i < n; i++)
        on_event(events[i].data.ptr, events[i].events);
    now_ns = clock_ns();
}

/* Opens parked connections a few at a time, so that none waits in a backlog. */
static void park(struct conn *first, int n)
{
    for (int at = 0; at < n;) {
        int batch = n - at < 64 ? n - at : 64;
        for (int i = 0; i < batch; i++) {
            first[at + i].parked = true;
            conn_open(&first[at + i]);
        }
        at += batch;
        uint64_t deadline = clock_ns() + 10 * NS;
        while (parked_ready < at) {
            turn(NS / 100);
            if (clock_ns() > deadline) {
                fprintf(stderr, "load: %d of %d idle connections after 10 s\n", parked_ready, n);
                exit(1);
            }
        }
    }
}

static double fraction(const char *text)
{
    char *end;
    double v = strtod(text, &end);
    if (*end != '\0' || v < 0) {
        fprintf(stderr, "load: '%s': expected a number\n", text);
        exit(2);
    }
    return v;
}

static void parse_options(int argc, char **argv)
{
    int o;
    while ((o = getopt(argc, argv, "c:t:w:r:i:p:P:kmTR")) != -1) {
        switch (o) {
        case 'c':
            opt.connections = (int)fraction(optarg);
            break;
        case 't':
            opt.seconds = fraction(optarg);
            break;
        case 'w':
            opt.warmup = fraction(optarg);
            break;
        case 'r':
            opt.rate = fraction(optarg);
            break;
        case 'i':
            opt.idle = (int)fraction(optarg);
            break;
        case 'p':
            opt.pids = optarg;
            break;
        case 'P':
            opt.path = optarg;
            break;
        case 'k':
            opt.close_each = true;
            break;
        case 'm':
            opt.only_idle = true;
            break;
        case 'T':
            opt.tls = true;
            break;
        case 'R':
            opt.resume = true;
            break;
        default:
            exit(2);
        }
    }
    char *colon = optind < argc ? strrchr(argv[optind], ':') : NULL;
    if (colon == NULL) {
        fprintf(stderr, "usage: load [options] HOST:PORT (an IPv4 address)\n");
        exit(2);
    }
    *colon = '\0';
    opt.to.sin_family = AF_INET;
    opt.to.sin_port = htons((uint16_t)atoi(colon + 1));
    if (inet_pton(AF_INET, argv[optind], &opt.to.sin_addr) != 1) {
        fprintf(stderr, "load: '%s': expected an IPv4 address\n", argv[optind]);
        exit(2);
    }
}

int main(int argc, char **argv)
{
    parse_options(argc, argv);
    prctl(PR_SET_TIMERSLACK, 1);
    epfd = epoll_create1(EPOLL_CLOEXEC);
    if (opt.tls)
        tls_start();
    if (opt.only_idle)
        opt.connections = 0;
    request_len = (size_t)snprintf(request, sizeof(request),
                                   "GET %s HTTP/1.1\r\nHost: bench.example\r\n%s\r\n", opt.path,
                                   opt.close_each ? "Connection: close\r\n" : "");
    conns = calloc((size_t)(opt.connections + opt.idle) + 1, sizeof(*conns));
    if (epfd < 0 || conns == NULL)
        fail("start");
    measure_from = UINT64_MAX;
    bool close_each = opt.close_each;
    opt.close_each = false; /* parked ones stay */
    park(conns + opt.connections, opt.idle);
    opt.close_each = close_each;
    if (opt.only_idle) {
        puts("idle");
        fflush(stdout);
        char c;
        while (read(0, &c, 1) > 0)
            ;
        return 0;
    }

    open_start = clock_ns() + NS / 10;
    for (int i = 0; i < opt.connections; i++)
        conn_open(&conns[i]);
    uint64_t start = clock_ns();
    uint64_t warm_until = start + (uint64_t)(opt.warmup * (double)NS);
    measure_to = UINT64_MAX;
    do
        turn(NS / 100);
    while (now_ns < warm_until);
    uint64_t errors_before = errors, bytes_before = body_bytes, connects_before = connects,
             resumed_before = resumed;
    uint64_t cpu = watched_cpu_ns();
    measure_from = clock_ns();
    measure_to = measure_from + (uint64_t)(opt.seconds * (double)NS);
    do
        turn(NS / 100);
    while (now_ns < measure_to);
    uint64_t took = clock_ns() - measure_from;
    cpu = watched_cpu_ns() - cpu;
    uint64_t bytes = body_bytes - bytes_before;
    connects -= connects_before;
    /* Open loop: what was due in the window and is still under way counts too, late as it is. */
    uint64_t grace = clock_ns() + 2 * NS;
    uint64_t due = (uint64_t)(opt.seconds * opt.rate);
    while (opt.rate > 0 && requests + 1 < due && clock_ns() < grace)
        turn(NS / 1000);

    printf("{\"requests\": %llu, \"seconds\": %.4f, \"rate\": %.1f, \"errors\": %llu, "
           "\"connects\": %llu, \"resumed\": %llu, \"bytes\": %llu, \"cpu_ns\": %llu, \"mean_us\": "
           "%.1f, "
           "\"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, "
           "\"max_us\": %.1f}\n",
           (unsigned long long)requests, (double)took / NS,
           (double)requests / ((double)took / (double)NS),
           (unsigned long long)(errors - errors_before), (unsigned long long)connects,
           (unsigned long long)(resumed - resumed_before), (unsigned long long)bytes,
           (unsigned long long)cpu, hist.n ? (double)hist.sum / (double)hist.n / 1000 : 0,
           hist_at_us(&hist, 0.5), hist_at_us(&hist, 0.9), hist_at_us(&hist, 0.99),
           hist_at_us(&hist, 0.999), (double)hist.max / 1000);
    return 0;
}
