/* test_log.c - lines, levels, sinks and the log thread. */
#include "lb/base/alloc.h"
#include "lb/base/limits.h"
#include "lb/base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define STAMP "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z"

struct fixture {
    char dir[64], path[96];
    struct log_sink *sink;
};

static struct log_sink *open_sink(const char *target)
{
    const char *error = NULL;
    struct log_sink *s = log_sink_open(target, &error);
    if (s == NULL)
        fail_msg("%s: %s", target, error);
    return s;
}

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    snprintf(f->dir, sizeof(f->dir), "/tmp/sluice-test-log-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof(f->path), "%s/log", f->dir);
    f->sink = open_sink(f->path);
    log_set_sink(f->sink);
    log_set_level(LOG_LEVEL_DEBUG);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char command[128];
    log_thread_stop();
    log_set_sink(NULL);
    log_sink_close(&f->sink);
    assert_null(f->sink);
    snprintf(command, sizeof(command), "rm -r '%s'", f->dir);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

/* The file's content; to be freed. */
static char *content(const char *path)
{
    char *text = NULL;
    size_t size = 0;
    FILE *in = fopen(path, "r");
    assert_non_null(in);
    if (getdelim(&text, &size, '\0', in) < 0) {
        free(text);
        text = xstrdup("");
    }
    fclose(in);
    return text;
}

static bool matches(const char *text, const char *pattern)
{
    regex_t re;
    assert_int_equal(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
    bool yes = regexec(&re, text, 0, NULL, 0) == 0;
    regfree(&re);
    return yes;
}

/* ---- lines ---- */

static void a_line_has_time_level_and_message(void **state)
{
    struct fixture *f = *state;
    log_error("one %d", 1);
    log_warn("two");
    log_info("three");
    log_debug("four");
    char *text = content(f->path);
    assert_true(matches(text, "^" STAMP " ERROR one 1\n" STAMP " WARN two\n" STAMP
                              " INFO three\n" STAMP " DEBUG four\n$"));
    free(text);
}

static void the_time_is_now_in_utc(void **state)
{
    struct fixture *f = *state;
    struct tm tm = {0};
    time_t before = time(NULL);
    setenv("TZ", "Asia/Kolkata", 1); /* must not matter */
    tzset();
    log_info("x");
    unsetenv("TZ");
    tzset();
    char *text = content(f->path);
    assert_non_null(strptime(text, "%Y-%m-%dT%H:%M:%S", &tm));
    time_t then = timegm(&tm);
    assert_true(then >= before - 1 && then <= time(NULL));
    free(text);
}

static void levels_above_the_limit_are_left_out(void **state)
{
    struct fixture *f = *state;
    static const char *const after[] = {"^" STAMP " ERROR e\n$", "^" STAMP " ERROR e\n.* WARN w\n$",
                                        "^" STAMP " ERROR e\n.* WARN w\n.* INFO i\n$",
                                        "^" STAMP " ERROR e\n.* WARN w\n.* INFO i\n.* DEBUG d\n$"};
    for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++) {
        assert_int_equal(truncate(f->path, 0), 0);
        log_set_level((enum log_level)level);
        assert_true(log_enabled((enum log_level)level));
        assert_false(log_enabled((enum log_level)(level + 1)));
        log_error("e");
        log_warn("w");
        log_info("i");
        log_debug("d");
        char *text = content(f->path);
        assert_true(matches(text, after[level]));
        free(text);
    }
}

static void level_names_are_exact(void **state)
{
    (void)state;
    enum log_level level;
    assert_int_equal(log_level_parse("error", &level), 0);
    assert_int_equal(level, LOG_LEVEL_ERROR);
    assert_int_equal(log_level_parse("debug", &level), 0);
    assert_int_equal(level, LOG_LEVEL_DEBUG);
    assert_int_equal(log_level_parse("info", &level), 0);
    assert_int_equal(level, LOG_LEVEL_INFO);
    assert_int_equal(log_level_parse("warn", &level), 0);
    assert_int_equal(level, LOG_LEVEL_WARN);
    assert_int_equal(log_level_parse("warning", &level), -EINVAL);
    assert_int_equal(log_level_parse("INFO", &level), -EINVAL);
    assert_int_equal(log_level_parse("", &level), -EINVAL);
    assert_int_equal(level, LOG_LEVEL_WARN); /* untouched */
}

/* Why: a peer's bytes in a message must not forge a line or drive a terminal. */
static void control_bytes_are_escaped(void **state)
{
    struct fixture *f = *state;
    log_info("%s", "a\nb\rc\x1b[1m\x7f\td \xc3\xa9");
    char *text = content(f->path);
    assert_string_equal(text + 25, "INFO a\\x0ab\\x0dc\\x1b[1m\\x7f\\x09d \xc3\xa9\n");
    free(text);
}

static void a_long_message_is_cut_and_says_so(void **state)
{
    struct fixture *f = *state;
    char message[LIMIT_LOG_LINE + 100];
    const size_t prefix = 30, fits = LIMIT_LOG_LINE - prefix - 4; /* "...\n" */
    for (size_t len = fits - 3; len < sizeof(message); len++) {
        memset(message, 'm', len);
        message[len] = '\0';
        assert_int_equal(truncate(f->path, 0), 0);
        log_info("%s", message);
        char *text = content(f->path);
        size_t n = strlen(text);
        assert_true(n <= LIMIT_LOG_LINE);
        if (len <= fits) {
            assert_int_equal(n, prefix + len + 1);
        } else {
            assert_int_equal(n, LIMIT_LOG_LINE);
            assert_string_equal(text + n - 5, "m...\n");
        }
        free(text);
    }
}

static void escaping_never_overflows_the_line(void **state)
{
    struct fixture *f = *state;
    char message[LIMIT_LOG_LINE];
    memset(message, '\n', sizeof(message) - 1);
    message[sizeof(message) - 1] = '\0';
    log_info("%s", message);
    char *text = content(f->path);
    assert_true(strlen(text) <= LIMIT_LOG_LINE);
    assert_true(matches(text, "INFO (\\\\x0a)+\\.\\.\\.\n$"));
    free(text);
}

static void logging_keeps_errno(void **state)
{
    (void)state;
    errno = ENOSPC;
    log_info("x");
    assert_int_equal(errno, ENOSPC);
}

/* ---- sinks ---- */

static void what_cannot_be_opened_is_explained(void **state)
{
    static const char *const bad[] = {"",
                                      "file",
                                      "/nowhere/at/all",
                                      "/",
                                      "syslog:",
                                      "syslog:name",
                                      "syslog:1.2.3.4:0",
                                      "syslog:1.2.3.4:65536",
                                      "syslog:1.2.3.4:",
                                      "syslog:[::1",
                                      "syslog:[::1]x",
                                      "syslog:unix:",
                                      "syslog:unix:/nowhere/at/all"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        const char *error = NULL;
        assert_null(log_sink_open(bad[i], &error));
        assert_non_null(error);
        assert_true(error[0] != '\0');
    }
}

static void off_takes_everything_and_writes_nothing(void **state)
{
    (void)state;
    struct log_sink *off = open_sink("off");
    uint64_t dropped = log_dropped();
    assert_true(log_sink_write(off, "x\n", 2));
    log_thread_start();
    assert_true(log_sink_write(off, "x\n", 2));
    log_sink_close(&off);
    log_thread_stop();
    assert_true(log_dropped() == dropped);
}

static void a_file_is_appended_to(void **state)
{
    struct fixture *f = *state;
    log_sink_write(f->sink, "one\n", 4);
    struct log_sink *again = open_sink(f->path);
    log_sink_write(again, "two\n", 4);
    log_sink_write(f->sink, "three\n", 6);
    log_sink_close(&again);
    char *text = content(f->path);
    assert_string_equal(text, "one\ntwo\nthree\n");
    free(text);
}

static void rotate(struct fixture *f, bool threaded)
{
    char old[128];
    snprintf(old, sizeof(old), "%s.1", f->path);
    if (threaded)
        log_thread_start();
    log_sink_write(f->sink, "before\n", 7);
    assert_int_equal(rename(f->path, old), 0);
    log_reopen();
    for (int i = 0; access(f->path, F_OK) != 0; i++) { /* the log thread does it */
        assert_true(i < 10000);
        usleep(1000);
    }
    log_sink_write(f->sink, "after\n", 6);
    log_thread_stop();
    char *text = content(old);
    assert_string_equal(text, "before\n");
    free(text);
    text = content(f->path);
    assert_string_equal(text, "after\n");
    free(text);
}

static void a_rotated_file_is_opened_again(void **state)
{
    rotate(*state, false);
}

static void the_log_thread_opens_a_rotated_file_again(void **state)
{
    rotate(*state, true);
}

static void a_file_that_cannot_be_opened_again_stays_in_use(void **state)
{
    struct fixture *f = *state;
    char old[128];
    snprintf(old, sizeof(old), "%s.1", f->path);
    assert_int_equal(rename(f->path, old), 0);
    assert_int_equal(mkdir(f->path, 0700), 0);
    log_reopen();
    log_info("still here");
    char *text = content(old);
    assert_true(matches(text, "ERROR log: .* cannot be opened again.*\n.*INFO still here\n$"));
    free(text);
}

/* ---- syslog ---- */

static int bind_datagram(const struct sockaddr *sa, socklen_t len)
{
    int fd = socket(sa->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, sa, len), 0);
    return fd;
}

static void expect_datagram(int fd, const char *pattern)
{
    char text[4096];
    do { /* lines about lines that earlier tests lost may come between */
        struct pollfd p = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&p, 1, 10000), 1);
        ssize_t n = recv(fd, text, sizeof(text) - 1, 0);
        assert_true(n > 0);
        text[n] = '\0';
    } while (strstr(text, "lines were dropped") != NULL);
    if (!matches(text, pattern))
        fail_msg("\"%s\" does not match %s", text, pattern);
}

#define SYSLOG_TIME "[A-Z][a-z]{2} [ 123][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2}"

static void a_local_syslog_gets_lines_in_its_format(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    char target[160];
    snprintf(un.sun_path, sizeof(un.sun_path), "%s/dev-log", f->dir);
    snprintf(target, sizeof(target), "syslog:unix:%s", un.sun_path);
    int fd = bind_datagram((struct sockaddr *)&un, sizeof(un));
    struct log_sink *s = open_sink(target);
    log_set_sink(s);
    log_warn("it is late");
    expect_datagram(fd, "^<28>" SYSLOG_TIME " sluice\\[[0-9]+\\]: WARN it is late$");
    log_error("broken");
    expect_datagram(fd, "^<27>" SYSLOG_TIME " sluice\\[[0-9]+\\]: ERROR broken$");
    log_sink_write(s, "an access line\n", 15);
    expect_datagram(fd, "^<30>" SYSLOG_TIME " sluice\\[[0-9]+\\]: an access line$");

    /* The daemon is restarted: a line in between is lost, the next finds the new socket. */
    close(fd);
    assert_int_equal(unlink(un.sun_path), 0);
    uint64_t dropped = log_dropped();
    log_info("into the void");
    assert_true(log_dropped() == dropped + 1);
    fd = bind_datagram((struct sockaddr *)&un, sizeof(un));
    log_thread_start();
    log_info("back");
    expect_datagram(fd, "^<30>" SYSLOG_TIME " sluice\\[[0-9]+\\]: INFO back$");
    log_set_sink(f->sink);
    log_sink_close(&s);
    log_thread_stop();
    close(fd);
}

static void a_remote_syslog_is_told_our_name(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    char target[64];
    int fd = bind_datagram((struct sockaddr *)&in, sizeof(in));
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    snprintf(target, sizeof(target), "syslog:127.0.0.1:%u", ntohs(in.sin_port));
    struct log_sink *s = open_sink(target);
    log_set_sink(s);
    log_debug("hello");
    expect_datagram(fd, "^<31>" SYSLOG_TIME " [^ .]+ sluice\\[[0-9]+\\]: DEBUG hello$");
    log_set_sink(f->sink);
    log_sink_close(&s);
    close(fd);
}

static void the_forms_of_a_remote_address_are_understood(void **state)
{
    static const char *const good[] = {"syslog:127.0.0.1", "syslog:127.0.0.1:65535",
                                       "syslog:127.0.0.1:1"};
    static const char *const good6[] = {"syslog:::1", "syslog:[::1]", "syslog:[::1]:514"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct log_sink *s = open_sink(good[i]);
        log_sink_close(&s);
    }
    for (size_t i = 0; i < ARRAY_LEN(good6); i++) {
        const char *error = NULL;
        struct log_sink *s = log_sink_open(good6[i], &error);
        if (s == NULL) /* a machine without IPv6 */
            assert_null(strstr(error, "expected"));
        log_sink_close(&s);
    }
}

/* ---- the thread ---- */

enum { THREADS = 3, LINES = 1000 };

static void *write_lines(void *arg)
{
    for (int i = 0; i < LINES; i++)
        log_info("thread %d line %d", (int)(intptr_t)arg, i);
    return NULL;
}

/* Fewer lines than a ring holds, so none may be missing. */
static void the_thread_writes_all_lines_whole_and_in_order(void **state)
{
    struct fixture *f = *state;
    pthread_t t[THREADS];
    int next[THREADS] = {0}, thread, line, used;
    uint64_t dropped = log_dropped();
    log_thread_start();
    for (intptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, write_lines, (void *)i), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    log_thread_stop();
    assert_true(log_dropped() == dropped);
    char *text = content(f->path);
    for (char *at = text; *at != '\0'; at += used) {
        used = 0;
        assert_int_equal(sscanf(at, "%*24s INFO thread %d line %d%n", &thread, &line, &used), 2);
        assert_true(thread >= 0 && thread < THREADS && at[used] == '\n');
        assert_int_equal(line, next[thread]++);
        used++;
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(next[i], LINES);
    free(text);
}

static void a_sleeping_thread_wakes_for_each_line(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    log_thread_start();
    for (int i = 1; i <= 20; i++) {
        usleep(i % 4 * 4000); /* asleep, dozing or awake: it must not matter */
        log_sink_write(f->sink, "x\n", 2);
        for (int tries = 0; stat(f->path, &st) == 0 && st.st_size < 2 * i; tries++) {
            assert_true(tries < 10000);
            usleep(1000);
        }
    }
}

static void the_thread_starts_and_stops_again_and_again(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 50; i++) {
        log_thread_start();
        log_thread_start(); /* no second one */
        log_sink_write(f->sink, "t\n", 2);
        log_thread_stop();
        log_thread_stop();
        log_sink_write(f->sink, "d\n", 2);
    }
    char *text = content(f->path);
    assert_int_equal(strlen(text), 200);
    for (int i = 0; i < 50; i++)
        assert_memory_equal(text + 4 * i, "t\nd\n", 4);
    free(text);
}

static void a_closed_sink_writes_its_rest(void **state)
{
    struct fixture *f = *state;
    char path[128];
    snprintf(path, sizeof(path), "%s/other", f->dir);
    log_thread_start();
    struct log_sink *s = open_sink(path);
    log_sink_write(s, "last words\n", 11);
    log_sink_close(&s);
    assert_null(s);
    log_thread_stop();
    char *text = content(path);
    assert_string_equal(text, "last words\n");
    free(text);
}

static void a_line_beyond_the_limit_is_dropped_and_counted(void **state)
{
    struct fixture *f = *state;
    char *line = xcalloc(1, LIMIT_LOG_RECORD + 1);
    memset(line, 'l', LIMIT_LOG_RECORD);
    line[LIMIT_LOG_RECORD - 1] = '\n';
    log_thread_start();
    uint64_t dropped = log_dropped();
    assert_true(log_sink_write(f->sink, line, LIMIT_LOG_RECORD));
    assert_false(log_sink_write(f->sink, line, LIMIT_LOG_RECORD + 1));
    assert_true(log_dropped() == dropped + 1);
    log_thread_stop();
    char *text = content(f->path);
    assert_true(strncmp(text, line, LIMIT_LOG_RECORD) == 0);
    free(text);
    free(line);
}

/* A fifo with a reader that does not read. */
static int open_stuck(struct fixture *f, struct log_sink **out)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/fifo", f->dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(fd >= 0);
    *out = open_sink(path);
    return fd;
}

static void a_stuck_reader_costs_lines_but_never_waits(void **state)
{
    struct fixture *f = *state;
    struct log_sink *stuck;
    char line[1024], buf[65536];
    uint64_t accepted = 0, got = 0, dropped = log_dropped();
    memset(line, 's', sizeof(line));
    line[sizeof(line) - 1] = '\n';
    int fd = open_stuck(f, &stuck);
    log_thread_start();
    for (int i = 0; i < 2000; i++) /* 2 MB: more than the pipe, the batch and the ring */
        accepted += log_sink_write(stuck, line, sizeof(line));
    assert_true(accepted >= LIMIT_LOG_RING / (sizeof(line) + 8));
    assert_true(accepted < 2000);
    assert_true(log_dropped() == dropped + 2000 - accepted);

    /* Now it reads again: everything that was accepted comes, whole. */
    while (got < accepted * sizeof(line)) {
        assert_int_equal(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 10000), 1);
        ssize_t n = read(fd, buf, sizeof(buf));
        assert_true(n > 0);
        for (ssize_t i = 0; i < n; i++)
            assert_int_equal(buf[i], line[(got + (uint64_t)i) % sizeof(line)]);
        got += (uint64_t)n;
    }
    assert_true(log_sink_write(stuck, line, sizeof(line)));
    log_sink_close(&stuck);
    log_thread_stop();
    close(fd);
    char *text = content(f->path); /* and the process log says what happened */
    assert_true(matches(text, "WARN log: [0-9]+ lines were dropped"));
    free(text);
}

/* In a process of its own, since the log thread is left behind. */
static void a_stuck_reader_cannot_hold_up_the_end(void **state)
{
    struct fixture *f = *state;
    int status;
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct log_sink *stuck;
        char line[1024] = {[1023] = '\n'};
        open_stuck(f, &stuck);
        log_thread_start();
        for (int i = 0; i < 200; i++)
            log_sink_write(stuck, line, sizeof(line));
        alarm(60); /* instead of hanging for ever */
        log_thread_stop();
        log_sink_write(stuck, line, sizeof(line));
        log_sink_close(&stuck);
        _exit(stuck == NULL ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void a_reader_that_went_away_does_not_kill_us(void **state)
{
    struct fixture *f = *state;
    struct log_sink *gone;
    int fd = open_stuck(f, &gone);
    log_thread_start();
    close(fd);
    uint64_t dropped = log_dropped();
    assert_true(log_sink_write(gone, "x\ny\n", 4));
    log_sink_close(&gone);
    log_thread_stop();
    assert_true(log_dropped() == dropped + 2);
}

#define WITH_FILE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FILE(a_line_has_time_level_and_message),
        WITH_FILE(the_time_is_now_in_utc),
        WITH_FILE(levels_above_the_limit_are_left_out),
        WITH_FILE(level_names_are_exact),
        WITH_FILE(control_bytes_are_escaped),
        WITH_FILE(a_long_message_is_cut_and_says_so),
        WITH_FILE(escaping_never_overflows_the_line),
        WITH_FILE(logging_keeps_errno),
        WITH_FILE(what_cannot_be_opened_is_explained),
        WITH_FILE(off_takes_everything_and_writes_nothing),
        WITH_FILE(a_file_is_appended_to),
        WITH_FILE(a_rotated_file_is_opened_again),
        WITH_FILE(the_log_thread_opens_a_rotated_file_again),
        WITH_FILE(a_file_that_cannot_be_opened_again_stays_in_use),
        WITH_FILE(a_local_syslog_gets_lines_in_its_format),
        WITH_FILE(a_remote_syslog_is_told_our_name),
        WITH_FILE(the_forms_of_a_remote_address_are_understood),
        WITH_FILE(the_thread_writes_all_lines_whole_and_in_order),
        WITH_FILE(a_sleeping_thread_wakes_for_each_line),
        WITH_FILE(the_thread_starts_and_stops_again_and_again),
        WITH_FILE(a_closed_sink_writes_its_rest),
        WITH_FILE(a_line_beyond_the_limit_is_dropped_and_counted),
        WITH_FILE(a_stuck_reader_costs_lines_but_never_waits),
        WITH_FILE(a_stuck_reader_cannot_hold_up_the_end),
        WITH_FILE(a_reader_that_went_away_does_not_kill_us),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
