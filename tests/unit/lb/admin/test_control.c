/* test_control.c - the stats socket itself: real unix sockets, the epoll engine, clients of all
 * manners. The test's thread runs the loop and plays the clients. */
#include "lb/io/loop.h"
#include "lb/obs/events.h"
#include "tests/unit/lb/admin/admin_fixture.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct world {
    struct fixture *f;
    struct loop loop;
    struct control *control;
    char path[64];
};

static int listen_at(const char *path)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
    assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
    assert_int_equal(listen(fd, 256), 0);
    return fd;
}

static int setup(void **state)
{
    struct world *w = xcalloc(1, sizeof(*w));
    struct io_conf conf = {.engine = IO_EPOLL};
    char dir[] = "/tmp/sluice-test-XXXXXX";
    int error = 0;

    w->f = fixture_new();
    assert_int_equal(loop_init(&w->loop, io_new(&conf, &error), w), 0);
    w->control = control_new(&w->loop, &w->f->ops);
    assert_non_null(mkdtemp(dir));
    snprintf(w->path, sizeof(w->path), "%s/s", dir);
    control_listen(w->control, listen_at(w->path), w->path, CONTROL_ADMIN, NULL);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    control_stop(w->control);
    while (!control_stopped(w->control))
        loop_turn(&w->loop, 100);
    control_free(&w->control);
    assert_null(w->control);
    loop_fini(&w->loop);
    unlink(w->path);
    *strrchr(w->path, '/') = '\0';
    rmdir(w->path);
    fixture_free(w->f);
    free(w);
    return 0;
}

/* ---- clients ---- */

static int dial(struct world *w)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", w->path);
    assert_int_equal(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Runs the loop and reads until the text ends with `end` (NULL: until end of stream). */
static const char *hear(struct world *w, int fd, const char *end)
{
    static char text[2000000];
    size_t len = 0;

    for (int turns = 0; turns < 10000; turns++) {
        loop_turn(&w->loop, 1);
        ssize_t n = recv(fd, text + len, sizeof(text) - 1 - len, 0);
        if (n > 0)
            len += (size_t)n;
        text[len] = '\0';
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            assert_null(end);
            return text;
        }
        if (end != NULL && len >= strlen(end) && strcmp(text + len - strlen(end), end) == 0)
            return text;
    }
    fail_msg("no end after \"%s\"", text);
    return NULL;
}

#define assert_heard(w, fd, end, expected) assert_string_equal(hear(w, fd, end), expected)

/* ---- tests ---- */

static void one_line_is_answered_and_the_connection_closed(void **state)
{
    struct world *w = *state;
    int fd = dial(w);

    say(fd, "show version\n");
    assert_heard(w, fd, NULL, "0.1.0\n\n");
    close(fd);
}

static void a_line_may_come_in_pieces_and_with_a_carriage_return(void **state)
{
    struct world *w = *state;
    int fd = dial(w);

    for (const char *p = "show version\r\n"; *p != '\0'; p++) {
        say(fd, (char[]){*p, '\0'});
        loop_turn(&w->loop, 0);
    }
    assert_heard(w, fd, NULL, "0.1.0\n\n");
    close(fd);
}

static void several_commands_and_several_lines(void **state)
{
    struct world *w = *state;
    int fd = dial(w);

    say(fd, "show version;get weight app/a; show ready;\n");
    assert_heard(w, fd, NULL, "0.1.0\n\n10 (initial 10)\n\nready\n\n");
    close(fd);
    fd = dial(w);
    say(fd, "show version\nshow ready\n");
    assert_heard(w, fd, NULL, "0.1.0\n\nready\n\n");
    close(fd);
}

static void a_half_closed_client_gets_its_answer(void **state)
{
    struct world *w = *state;
    int fd = dial(w);

    say(fd, "show version\n");
    shutdown(fd, SHUT_WR);
    assert_heard(w, fd, NULL, "0.1.0\n\n");
    close(fd);
    fd = dial(w);
    say(fd, "show ready"); /* printf without a newline */
    shutdown(fd, SHUT_WR);
    assert_heard(w, fd, NULL, "ready\n\n");
    close(fd);
    fd = dial(w);
    shutdown(fd, SHUT_WR);
    assert_heard(w, fd, NULL, "");
    close(fd);
}

static void the_prompt_keeps_the_connection_open(void **state)
{
    struct world *w = *state;
    int fd = dial(w);

    say(fd, "prompt\n");
    assert_heard(w, fd, "> ", "\n> ");
    say(fd, "set timeout cli 60\n");
    assert_heard(w, fd, "> ", "\n> ");
    say(fd, "show version\n");
    assert_heard(w, fd, "> ", "0.1.0\n\n> ");
    say(fd, "show version;show ready\n");
    assert_heard(w, fd, "ready\n\n> ", "0.1.0\n\n> ready\n\n> ");
    say(fd, "show version;quit;show ready\n");
    assert_heard(w, fd, NULL, "0.1.0\n\n> ");
    close(fd);
}

static void an_empty_line_at_the_prompt_lists_the_commands(void **state)
{
    struct world *w = *state;
    const char *begin = "Unknown command. Please enter one of the following commands only:\n";
    const char *lines[] = {"\n", "\r\n", "  ;\n"};
    int fd = dial(w);

    say(fd, "prompt\nuser\n"); /* a short list */
    assert_heard(w, fd, "> \n> ", "\n> \n> ");
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        say(fd, lines[i]);
        assert_memory_equal(hear(w, fd, "\n\n> "), begin, strlen(begin));
    }
    close(fd);
}

static void the_silent_prompt_only_answers(void **state)
{
    struct world *w = *state;
    int fd = dial(w);

    say(fd, "prompt i\n");
    assert_heard(w, fd, "\n", "\n");
    say(fd, "show version\n");
    assert_heard(w, fd, "\n\n", "0.1.0\n\n");
    say(fd, "prompt n\n");
    assert_heard(w, fd, NULL, "\n");
    close(fd);
}

static void the_timed_prompt_shows_the_uptime(void **state)
{
    struct world *w = *state;
    int fd = dial(w);

    say(fd, "prompt timed\n");
    assert_heard(w, fd, "> ", "\n[0:00:00:00]> ");
    close(fd);
}

static void a_payload_is_read_and_ignored(void **state)
{
    struct world *w = *state;
    int fd = dial(w);

    say(fd, "show version <<\nshow ready\nxyzzy\n\n");
    assert_heard(w, fd, NULL, "0.1.0\n\n");
    close(fd);
    fd = dial(w);
    say(fd, "prompt\nshow version <<EOF\na\n\nEOF\n");
    assert_heard(w, fd, "0.1.0\n\n> ", "\n> + + + 0.1.0\n\n> ");
    close(fd);
    fd = dial(w);
    say(fd, "show version <<\nnever ended\n");
    shutdown(fd, SHUT_WR);
    assert_heard(w, fd, NULL, "");
    close(fd);
}

static void a_line_that_is_too_long_is_refused(void **state)
{
    struct world *w = *state;
    char *text = xmalloc(LIMIT_CTL_LINE + 2);
    int fd = dial(w);

    memset(text, ' ', LIMIT_CTL_LINE + 1);
    memcpy(text, "show version", 12);
    text[LIMIT_CTL_LINE - 1] = '\n';
    text[LIMIT_CTL_LINE] = '\0';
    say(fd, text);
    assert_heard(w, fd, NULL, "0.1.0\n\n");
    close(fd);
    fd = dial(w);
    text[LIMIT_CTL_LINE - 1] = ' ';
    say(fd, text);
    assert_heard(w, fd, NULL, "The line is too long.\n\n");
    close(fd);
    free(text);
}

static void late_answers_keep_their_place(void **state)
{
    struct world *w = *state;
    int fd = dial(w);

    w->f->answer_later = true;
    say(fd, "show version;shutdown session 0x7;show ready\n");
    while (w->f->kill_done == NULL)
        loop_turn(&w->loop, 1);
    for (int i = 0; i < 5; i++)
        loop_turn(&w->loop, 1);
    w->f->kill_done(w->f->done_arg, 0);
    assert_heard(w, fd, NULL, "0.1.0\n\nNo such session (use 'show sess').\n\nready\n\n");
    close(fd);
}

/* Why: the workers' answer may come after its client, even after the whole stats socket. */
static void a_late_answer_may_find_its_client_gone(void **state)
{
    struct world *w = *state;
    int fd = dial(w);

    w->f->answer_later = true;
    say(fd, "show sess\n");
    while (w->f->list_done == NULL)
        loop_turn(&w->loop, 1);
    close(fd);
    control_stop(w->control);
    while (!control_stopped(w->control))
        loop_turn(&w->loop, 1);
    w->f->list_done(w->f->done_arg, NULL, 0);
}

static void an_idle_client_is_closed(void **state)
{
    struct world *w = *state;
    int fd = dial(w);

    say(fd, "prompt i;set timeout cli 20ms\n");
    assert_heard(w, fd, NULL, "\n\n");
    close(fd);
}

/* Why: a client that asks for much and reads nothing must neither hold up others nor grow. */
static void a_client_that_does_not_read_is_closed_at_last(void **state)
{
    struct world *w = *state;
    int deaf = dial(w), fd;
    char line[12001] = "";
    struct pollfd p = {.fd = deaf};

    for (int i = 0; i < 1200; i++)
        strcat(line, "show stat;");
    say(deaf, "prompt i;set timeout cli 50ms\n");
    say(deaf, line);
    say(deaf, "\n");
    for (int i = 0; i < 20; i++)
        loop_turn(&w->loop, 1);
    fd = dial(w);
    say(fd, "show version\n");
    assert_heard(w, fd, NULL, "0.1.0\n\n");
    close(fd);
    for (int i = 0; i < 10000 && !(p.revents & POLLHUP); i++) {
        loop_turn(&w->loop, 1);
        poll(&p, 1, 0);
    }
    assert_true(p.revents & POLLHUP);
    close(deaf);
}

static void a_slow_reader_gets_everything(void **state)
{
    struct world *w = *state;
    int fd = dial(w);
    char line[4001] = "", small[3000];
    size_t total = 0;
    ssize_t n;

    for (int i = 0; i < 400; i++)
        strcat(line, "show stat;");
    say(fd, line);
    say(fd, "\n");
    size_t once = strlen(fixture_run(w->f, "show stat"));
    for (;;) {
        loop_turn(&w->loop, 0);
        n = recv(fd, small, sizeof(small), 0);
        if (n == 0)
            break;
        if (n > 0)
            total += (size_t)n;
        else
            assert_int_equal(errno, EAGAIN);
    }
    assert_int_equal(total, 400 * once);
    close(fd);
}

static void clients_beyond_the_limit_are_told_so(void **state)
{
    struct world *w = *state;
    int fds[LIMIT_CTL_CLIENTS], fd;

    for (int i = 0; i < LIMIT_CTL_CLIENTS; i++) {
        fds[i] = dial(w);
        say(fds[i], "prompt\n");
        assert_heard(w, fds[i], "> ", "\n> ");
    }
    fd = dial(w);
    assert_heard(w, fd, NULL, "Too many clients on the stats socket.\n\n");
    close(fd);
    close(fds[0]);
    fd = -1;
    for (int i = 0; i < 1000; i++) { /* until it has noticed that one has left */
        fd = dial(w);
        say(fd, "show version\n");
        if (strcmp(hear(w, fd, NULL), "0.1.0\n\n") == 0)
            break;
        close(fd);
        fd = -1;
    }
    assert_true(fd >= 0);
    close(fd);
    for (int i = 1; i < LIMIT_CTL_CLIENTS; i++)
        close(fds[i]);
}

static void a_client_may_leave_at_any_time(void **state)
{
    struct world *w = *state;
    int fd;

    close(dial(w));
    fd = dial(w);
    say(fd, "show st");
    close(fd);
    fd = dial(w);
    say(fd, "show stat\n");
    close(fd);
    for (int i = 0; i < 20; i++)
        loop_turn(&w->loop, 1);
    fd = dial(w);
    say(fd, "show version\n");
    assert_heard(w, fd, NULL, "0.1.0\n\n");
    close(fd);
}

static void each_socket_has_its_level(void **state)
{
    struct world *w = *state;
    char admin[64];

    snprintf(admin, sizeof(admin), "%s", w->path);
    strcat(w->path, "2");
    control_listen(w->control, listen_at(w->path), w->path, CONTROL_USER, NULL);
    int fd = dial(w);
    say(fd, "show cli level;disable server app/a\n");
    assert_heard(w, fd, NULL, "user\n\nPermission denied\n\n");
    close(fd);
    unlink(w->path);
    snprintf(w->path, sizeof(w->path), "%s", admin);
    fd = dial(w);
    say(fd, "show cli level\n");
    assert_heard(w, fd, NULL, "admin\n\n");
    close(fd);
}

static void stopping_ends_every_client(void **state)
{
    struct world *w = *state;
    int idle = dial(w), waiting = dial(w), deaf = dial(w);

    say(idle, "prompt\n");
    assert_heard(w, idle, "> ", "\n> ");
    w->f->answer_later = true;
    say(waiting, "show sess\n");
    say(deaf, "prompt\n");
    for (int i = 0; i < 500; i++)
        if (send(deaf, "show stat\n", 10, MSG_NOSIGNAL | MSG_DONTWAIT) != 10)
            break;
    while (w->f->list_done == NULL)
        loop_turn(&w->loop, 1);
    control_stop(w->control);
    while (!control_stopped(w->control))
        loop_turn(&w->loop, 1);
    assert_heard(w, idle, NULL, "");
    assert_heard(w, waiting, NULL, "");
    w->f->list_done(w->f->done_arg, NULL, 0);
    close(idle);
    close(waiting);
    close(deaf);
}

/* ---- following ---- */

static void a_follower_hears_what_happens_until_it_says_something(void **state)
{
    struct world *w = *state;
    int fd = dial(w);

    say(fd, "prompt\nshow events -n -w\n");
    assert_heard(w, fd, "> ", "\n> ");
    events_add(EVENT_LIFE, LOG_LEVEL_INFO, NULL, "one");
    assert_non_null(strstr(hear(w, fd, "one\n"), " info life - one\n"));
    events_add(EVENT_LIFE, LOG_LEVEL_INFO, NULL, "two");
    hear(w, fd, "two\n");
    say(fd, "\n");
    assert_heard(w, fd, "> ", "\n> ");
    events_add(EVENT_LIFE, LOG_LEVEL_INFO, NULL, "three");
    say(fd, "show version\n");
    assert_heard(w, fd, "> ", "0.1.0\n\n> ");
    say(fd, "show events -n -w\n");
    say(fd, "show version\n");
    assert_heard(w, fd, "0.1.0\n\n> ", "\n> 0.1.0\n\n> ");
    close(fd);
}

static void a_half_closed_follower_gets_what_is_there(void **state)
{
    struct world *w = *state;
    int fd = dial(w);

    events_add(EVENT_LIFE, LOG_LEVEL_INFO, NULL, "that");
    say(fd, "show events -w");
    shutdown(fd, SHUT_WR);
    assert_non_null(strstr(hear(w, fd, NULL), " info life - that\n"));
    close(fd);
    fd = dial(w);
    say(fd, "show events -n -w\n");
    for (int i = 0; i < 10; i++)
        loop_turn(&w->loop, 1);
    shutdown(fd, SHUT_WR);
    assert_heard(w, fd, NULL, "");
    close(fd);
}

static void a_follower_outlives_the_idle_timeout(void **state)
{
    struct world *w = *state;
    int fd = dial(w);

    say(fd, "set timeout cli 20ms;show events -n -w\n");
    uint64_t until = loop_now_ms(&w->loop) + 300;
    while (loop_now_ms(&w->loop) < until)
        loop_turn(&w->loop, 10);
    events_add(EVENT_LIFE, LOG_LEVEL_INFO, NULL, "late");
    hear(w, fd, "late\n");
    close(fd);
}

/* Why: events are kept in their ring only, whoever follows. */
static void a_follower_that_reads_too_slowly_is_told_so_and_cut(void **state)
{
    struct world *w = *state;
    int fd = dial(w);

    say(fd, "show events -n -w\n");
    for (int i = 0; i < 10; i++)
        loop_turn(&w->loop, 1);
    for (int i = 0; i < 5 * EVENTS_KEPT; i++) {
        events_add(EVENT_LIFE, LOG_LEVEL_INFO, NULL, "%0300d", i);
        if (i == 500) /* more than the socket takes is on its way */
            for (int j = 0; j < 300; j++)
                loop_turn(&w->loop, 1);
    }
    const char *text = strstr(hear(w, fd, NULL), "\n# ");
    assert_non_null(text);
    assert_non_null(strstr(text, " events are lost: they were read too slowly\n"));
    close(fd);
}

static void stopping_ends_followers(void **state)
{
    struct world *w = *state;
    int idle = dial(w), deaf = dial(w);

    say(idle, "show events -n -w\n");
    say(deaf, "show events -n -w\n");
    for (int i = 0; i < 10; i++)
        loop_turn(&w->loop, 1);
    for (int i = 0; i < EVENTS_KEPT; i++)
        events_add(EVENT_LIFE, LOG_LEVEL_INFO, NULL, "%0300d", i);
    hear(w, idle, "999\n");
    control_stop(w->control);
    while (!control_stopped(w->control))
        loop_turn(&w->loop, 1);
    assert_heard(w, idle, NULL, "");
    close(idle);
    close(deaf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(one_line_is_answered_and_the_connection_closed),
        TEST(a_line_may_come_in_pieces_and_with_a_carriage_return),
        TEST(several_commands_and_several_lines),
        TEST(a_half_closed_client_gets_its_answer),
        TEST(the_prompt_keeps_the_connection_open),
        TEST(an_empty_line_at_the_prompt_lists_the_commands),
        TEST(the_silent_prompt_only_answers),
        TEST(the_timed_prompt_shows_the_uptime),
        TEST(a_payload_is_read_and_ignored),
        TEST(a_line_that_is_too_long_is_refused),
        TEST(late_answers_keep_their_place),
        TEST(a_late_answer_may_find_its_client_gone),
        TEST(an_idle_client_is_closed),
        TEST(a_client_that_does_not_read_is_closed_at_last),
        TEST(a_slow_reader_gets_everything),
        TEST(clients_beyond_the_limit_are_told_so),
        TEST(a_client_may_leave_at_any_time),
        TEST(each_socket_has_its_level),
        TEST(stopping_ends_every_client),
        TEST(a_follower_hears_what_happens_until_it_says_something),
        TEST(a_half_closed_follower_gets_what_is_there),
        TEST(a_follower_outlives_the_idle_timeout),
        TEST(a_follower_that_reads_too_slowly_is_told_so_and_cut),
        TEST(stopping_ends_followers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
