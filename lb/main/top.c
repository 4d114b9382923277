/* top.c - `sluice top`: the loop between the terminal and the stats socket.
 *
 * Each question has a connection of its own, as every other client of the socket has; while it is
 * under way keys are heard and the screen is drawn. When nobody answers, what was known stays on
 * the screen, with a line that says so, until somebody does. */
#include "lb/main/top.h"

#include "lb/main/args.h"
#include "lb/main/ctl.h"
#include "lb/main/top_data.h"
#include "lb/main/top_term.h"
#include "lb/main/top_view.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define INTERVAL_MS     1000
#define INTERVAL_MIN_MS 100
#define ANSWER_MS       5000
#define ANSWER_MAX      (256u << 20) /* bytes; the largest tables are far below */
#define PRINT_WIDTH     140          /* columns of the plain picture */
#define EVENTS          60

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct top {
    const char *path;
    uint32_t interval_ms;
    struct top_view view;
    struct top_data data;
    int fd; /* of the question under way, -1: none */
    bool is_command;
    struct strbuf question, answer;
    size_t asked; /* bytes of the question that are sent */
    uint64_t deadline_ms, next_ms;
    bool command_waits, quit, once;
};

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- questions ---- */

static void end_question(struct top *t)
{
    if (t->fd >= 0)
        close(t->fd);
    t->fd = -1;
    t->next_ms = now_us() / 1000 + t->interval_ms;
}

static void trouble(struct top *t, const char *what)
{
    snprintf(t->view.trouble, sizeof(t->view.trouble), "%.40s%s (%.100s)", what,
             t->once          ? ""
             : t->view.paused ? "; paused"
                              : "; trying again",
             t->path);
    if (t->is_command) {
        snprintf(t->view.message, sizeof(t->view.message), "not done: %.100s", what);
        t->view.bad = true;
    }
    end_question(t);
}

static void start_question(struct top *t)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    struct strbuf object = {0};

    strbuf_clear(&t->question);
    strbuf_clear(&t->answer);
    t->asked = 0;
    t->is_command = t->command_waits;
    t->command_waits = false;
    t->deadline_ms = now_us() / 1000 + ANSWER_MS;
    if (t->is_command) {
        strbuf_add_cstr(&t->question, "set severity-output number;");
        top_view_command(&t->view, &t->question);
    } else {
        top_data_ask(&t->question, EVENTS, top_view_object(&t->view, &object));
    }
    strbuf_fini(&object);
    strncpy(sun.sun_path, t->path, sizeof(sun.sun_path) - 1); /* its length was checked */
    t->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (t->fd < 0 || connect(t->fd, (struct sockaddr *)&sun, sizeof(sun)) < 0)
        trouble(t, errno == ENOENT ? "there is no such socket" : strerror(errno));
}

static void command_answered(struct top *t)
{
    struct str text = str_trim(strbuf_str(&t->answer));
    struct top_view *v = &t->view;

    while (text.len > 0 && text.p[0] == '\n') {
        text.p++;
        text.len--;
    }
    v->bad = text.len > 4 && text.p[0] == '[' && text.p[1] >= '0' && text.p[1] <= '3';
    if (text.len > 5 && text.p[0] == '[') {
        text.p += 5;
        text.len -= 5;
    }
    for (size_t i = 0; i < text.len; i++)
        if (text.p[i] == '\n')
            text.len = i;
    if (text.len > 0)
        snprintf(v->message, sizeof(v->message), STR_FMT, (int)(text.len < 120 ? text.len : 120),
                 text.p);
    else
        snprintf(v->message, sizeof(v->message), "%s/%s: %s", v->pool, v->name, v->verb);
}

static void data_answered(struct top *t)
{
    struct top_data fresh;

    if (!top_data_read(strbuf_str(&t->answer), &t->data, now_us(), &fresh)) {
        trouble(t, t->answer.len == 0 ? "no answer" : "this is no load balancer's answer");
        return;
    }
    if (t->data.valid && t->data.pid != fresh.pid) {
        snprintf(t->view.message, sizeof(t->view.message),
                 "%s was restarted (process %u, before %u)", fresh.product, (unsigned)fresh.pid,
                 (unsigned)t->data.pid);
        t->view.bad = false;
    }
    top_data_fini(&t->data);
    t->data = fresh;
    t->view.trouble[0] = '\0';
    end_question(t);
}

static void answered(struct top *t)
{
    if (!t->is_command) {
        data_answered(t);
        return;
    }
    command_answered(t);
    end_question(t);
    t->next_ms = 0; /* what it has changed is to be seen */
}

/* The socket may be written to or read from. */
static void go_on(struct top *t)
{
    char chunk[65536];

    while (t->asked < t->question.len) {
        ssize_t n = send(t->fd, t->question.p + t->asked, t->question.len - t->asked, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n < 0) {
            trouble(t, strerror(errno));
            return;
        }
        t->asked += (size_t)n;
        if (t->asked == t->question.len)
            shutdown(t->fd, SHUT_WR);
    }
    for (;;) {
        ssize_t n = recv(t->fd, chunk, sizeof(chunk), 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            answered(t); /* a reset behind the answer is none of our worry */
            return;
        }
        strbuf_add(&t->answer, chunk, (size_t)n);
        if (t->answer.len > ANSWER_MAX) {
            trouble(t, "the answer is too large");
            return;
        }
    }
}

/* ---- the loop ---- */

/* Milliseconds until there is something to do; -1: nothing but keys. */
static int wait_ms(const struct top *t)
{
    uint64_t now = now_us() / 1000, until = t->fd >= 0 ? t->deadline_ms : t->next_ms;

    if (t->fd < 0 && t->view.paused && !t->command_waits)
        return -1;
    return until > now ? (int)(until - now) : 0;
}

static short awaited(const struct top *t)
{
    return t->asked < t->question.len ? POLLIN | POLLOUT : POLLIN;
}

static void tick(struct top *t)
{
    uint64_t now = now_us() / 1000;

    if (t->fd >= 0 && now >= t->deadline_ms)
        trouble(t, "no answer in 5 seconds");
    if (t->fd < 0 && (t->command_waits || (now >= t->next_ms && !t->view.paused)))
        start_question(t);
}

static void act(struct top *t, enum top_act what)
{
    switch (what) {
    case TOP_ACT_QUIT:
        t->quit = true;
        break;
    case TOP_ACT_COMMAND:
        t->command_waits = true;
        if (t->fd >= 0)
            end_question(t); /* nobody needs that answer any more */
        break;
    case TOP_ACT_ASK:
        if (t->fd >= 0)
            end_question(t);
        t->next_ms = 0;
        break;
    case TOP_ACT_NONE:
        break;
    }
}

static void read_keys(struct top *t)
{
    char buf[256];
    ssize_t n = read(STDIN_FILENO, buf, sizeof(buf));

    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN)) {
        t->quit = true; /* the terminal is gone */
        return;
    }
    for (struct str in = {buf, n > 0 ? (size_t)n : 0}; in.len > 0 && !t->quit;) {
        uint32_t key = top_term_key(&in);
        if (key == 26) /* Ctrl-Z */
            top_term_suspend();
        else if (key != TOP_KEY_NONE)
            act(t, top_view_key(&t->view, &t->data, key));
    }
}

static void draw(struct top *t)
{
    struct strbuf lines = {0};
    uint32_t width, height;

    top_term_size(&width, &height);
    top_view_draw(&t->view, &t->data, width, height, &lines);
    if (!top_term_draw(strbuf_str(&lines)))
        t->quit = true;
    strbuf_fini(&lines);
}

static void run(struct top *t, const sigset_t *mask)
{
    while (!t->quit) {
        tick(t);
        draw(t);
        struct pollfd fds[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
                                {.fd = t->fd, .events = awaited(t)}};
        int ms = wait_ms(t);
        struct timespec timeout = {ms / 1000, ms % 1000 * 1000000L};
        ppoll(fds, 2, ms >= 0 ? &timeout : NULL, mask);
        if (top_term_signals().ended)
            t->quit = true;
        if (fds[1].revents != 0 && t->fd >= 0)
            go_on(t);
        if (fds[0].revents != 0 && !t->quit)
            read_keys(t);
    }
}

/* ---- once ---- */

static int print_once(struct top *t)
{
    struct strbuf out = {0};

    t->once = true;
    start_question(t);
    while (t->fd >= 0) {
        struct pollfd p = {.fd = t->fd, .events = awaited(t)};
        if (poll(&p, 1, wait_ms(t)) == 0)
            trouble(t, "no answer in 5 seconds");
        else
            go_on(t);
    }
    if (t->view.trouble[0] != '\0') {
        fprintf(stderr, "sluice top: %s\n", t->view.trouble);
        return EXIT_FAILED;
    }
    top_view_print(&t->data, PRINT_WIDTH, &out);
    fwrite(out.p, 1, out.len, stdout);
    strbuf_fini(&out);
    return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}

static int show(struct top *t)
{
    sigset_t mask;
    const char *name = getenv("TERM");

    if (name == NULL || name[0] == '\0' || strcmp(name, "dumb") == 0)
        return print_once(t);
    top_term_catch(&mask);
    int rc = top_term_enter();
    if (rc < 0) {
        top_term_leave();
        fprintf(stderr, "sluice top: the terminal cannot be used: %s\n", strerror(-rc));
        return EXIT_FAILED;
    }
    run(t, &mask);
    top_term_leave();
    return EXIT_DONE;
}

int top_main(int argc, char **argv)
{
    static const char usage[] = "usage: sluice top [-s SOCKET] [--interval D] [--once]\n";
    struct top t = {.path = ctl_default_socket(), .interval_ms = INTERVAL_MS, .fd = -1};
    const char *interval = NULL;
    bool once = false;
    const struct arg_row rows[] = {{"--socket", 's', &t.path, NULL},
                                   {"--interval", 'i', &interval, NULL},
                                   {"--once", '1', NULL, &once}};
    char error[ARGS_ERROR_MAX] = "";
    int words = 0;

    if (args_parse(rows, ARRAY_LEN(rows), ARGS_MIXED, argc - 1, argv + 1, &words, error) == 0) {
        if (words > 0)
            snprintf(error, sizeof(error), "unexpected \"%.60s\"", argv[1]);
        else if (interval != NULL && (args_duration_ms(interval, &t.interval_ms) < 0 ||
                                      t.interval_ms < INTERVAL_MIN_MS))
            snprintf(error, sizeof(error),
                     "--interval %.40s: expected a duration from 100ms on, as \"2s\"", interval);
        else if (strlen(t.path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
            snprintf(error, sizeof(error), "%.60s...: the path is too long for a socket", t.path);
    }
    if (error[0] != '\0') {
        fprintf(stderr, "sluice top: %s\n%s", error, usage);
        return EXIT_USAGE;
    }
    if (setlocale(LC_CTYPE, "") == NULL || MB_CUR_MAX == 1)
        setlocale(LC_CTYPE, "C.UTF-8"); /* names are UTF-8, and so are most terminals */
    t.view.colors = getenv("NO_COLOR") == NULL;
    int rc = once || !isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) ? print_once(&t) : show(&t);
    end_question(&t);
    top_data_fini(&t.data);
    strbuf_fini(&t.question);
    strbuf_fini(&t.answer);
    return rc;
}
