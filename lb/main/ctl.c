/* ctl.c - `sluice ctl` and `sluice healthcheck`: one line to the stats socket, its answers to the
 * terminal. Blocking and short-lived, so it uses plain sockets.
 *
 * Answers are marked with their severity (`set severity-output number`), which is what tells a
 * refusal from data; the mark is cut off again. It works with HAProxy's socket, too. */
#include "lb/main/ctl.h"

#include "lb/admin/command_line.h"
#include "lb/base/limits.h"
#include "lb/base/str.h"
#include "lb/main/args.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define DEFAULT_SOCKET   "/run/sluice/stats.sock"
#define CTL_TIMEOUT_S    35 /* the stats socket waits 30 s for the workers */
#define HEALTH_TIMEOUT_S 5
#define COMMAND_WORDS    16 /* of a command, as far as they are looked at */

enum { EXIT_DONE = 0, EXIT_REFUSED = 1, EXIT_USAGE = 2 };

/* ---- the connection ---- */

static int connect_to(const char *name, const char *path, int timeout_s)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    struct timeval timeout = {.tv_sec = timeout_s};

    if (strlen(path) >= sizeof(sun.sun_path)) {
        fprintf(stderr, "%s: %s: the path is too long for a socket (at most %zu bytes)\n", name,
                path, sizeof(sun.sun_path) - 1);
        return -1;
    }
    memcpy(sun.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
        return fd;
    }
    const char *hint = errno == ENOENT ? " (is sluice running? -s SOCKET or SLUICE_SOCKET names "
                                         "another socket)"
                       : errno == ECONNREFUSED ? " (nobody listens there: sluice has ended)"
                                               : "";
    fprintf(stderr, "%s: cannot connect to %s: %s%s\n", name, path, strerror(errno), hint);
    if (fd >= 0)
        close(fd);
    return -1;
}

static int send_all(int fd, struct str text)
{
    while (text.len > 0) {
        ssize_t n = send(fd, text.p, text.len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        text.p += n;
        text.len -= (size_t)n;
    }
    return 0;
}

static int receive_all(int fd, struct strbuf *out)
{
    char chunk[16384];

    for (;;) {
        ssize_t n = recv(fd, chunk, sizeof(chunk), 0);
        if (n > 0)
            strbuf_add(out, chunk, (size_t)n);
        else if (n == 0)
            return 0;
        else if (errno != EINTR)
            return -errno;
    }
}

/* Sends the line and collects all answers. 0, or -1 after a message. */
static int ask(const char *name, const char *path, int timeout_s, struct str line,
               struct strbuf *out)
{
    int fd = connect_to(name, path, timeout_s);

    if (fd < 0)
        return -1;
    int rc = send_all(fd, line);
    if (rc == 0) {
        shutdown(fd, SHUT_WR); /* nothing more is asked, whatever mode a command enters */
        rc = receive_all(fd, out);
    }
    close(fd);
    if (rc == -EAGAIN) {
        fprintf(stderr, "%s: %s: no answer in %d seconds\n", name, path, timeout_s);
        return -1;
    }
    /* An answer is whole when it ends in an empty line; a reset after that is none of our worry. */
    if (out->len == 0 || out->p[out->len - 1] != '\n') {
        fprintf(stderr, "%s: %s: the connection ended before the answer%s%s\n", name, path,
                rc < 0 ? ": " : "", rc < 0 ? strerror(-rc) : "");
        return -1;
    }
    return 0;
}

/* ---- answers ---- */

/* Cuts the next answer off *rest: up to the empty line that ends it. */
static struct str next_answer(struct str *rest)
{
    size_t end = 0;

    while (end < rest->len && !(rest->p[end] == '\n' && (end == 0 || rest->p[end - 1] == '\n')))
        end++;
    struct str answer = {rest->p, end};
    end += end < rest->len;
    rest->p += end;
    rest->len -= end;
    return answer;
}

/* Cuts the mark "[N]: " off; N, or 0 when there is none. */
static int cut_severity(struct str *answer)
{
    if (answer->len < 5 || answer->p[0] != '[' || answer->p[1] < '0' || answer->p[1] > '7' ||
        memcmp(answer->p + 2, "]: ", 3) != 0)
        return 0;
    int severity = answer->p[1] - '0';
    answer->p += 5;
    answer->len -= 5;
    return severity;
}

/* Prints the answers, an empty line between them; whether one was a refusal. */
static bool print_answers(struct str rest)
{
    bool refused = false, printed = false;

    while (rest.len > 0) {
        struct str answer = next_answer(&rest);
        int severity = cut_severity(&answer);
        bool bad =
            severity > 0 && severity <= 3; /* error and worse; a warning is done all the same */
        if (answer.len == 0)
            continue;
        if (bad) {
            refused = true;
        } else if (printed) {
            putchar('\n');
        }
        printed |= !bad;
        fwrite(answer.p, 1, answer.len, bad ? stderr : stdout);
    }
    return refused;
}

int ctl_ask_one(const char *name, const char *path, struct str line, struct strbuf *out,
                int *out_severity)
{
    struct strbuf answers = {0};

    if (ask(name, path, CTL_TIMEOUT_S, line, &answers) < 0) {
        strbuf_fini(&answers);
        return -1;
    }
    for (struct str rest = strbuf_str(&answers), answer; rest.len > 0;) {
        answer = next_answer(&rest);
        if (answer.len == 0)
            continue;
        strbuf_clear(out);
        *out_severity = cut_severity(&answer);
        strbuf_add_str(out, answer);
    }
    strbuf_fini(&answers);
    return 0;
}

/* ---- commands ---- */

/* SLUICE_STATS is where a sidecar's own configuration puts it (quick.c). */
const char *ctl_default_socket(void)
{
    const char *path = getenv("SLUICE_SOCKET");

    if (path == NULL || path[0] == '\0')
        path = getenv("SLUICE_STATS");
    return path != NULL && path[0] != '\0' ? path : DEFAULT_SOCKET;
}

/* Takes the options; *out_words words are left behind argv[0]. 0, or -1 after a message. */
static int parse(int argc, char **argv, const char *usage, const char **out_path, int *out_words)
{
    const struct arg_row rows[] = {{"--socket", 's', out_path, NULL}};
    char error[ARGS_ERROR_MAX];

    if (args_parse(rows, ARRAY_LEN(rows), ARGS_FIRST, argc - 1, argv + 1, out_words, error) == 0)
        return 0;
    fprintf(stderr, "sluice %s: %s\n%s", argv[0], error, usage);
    return -1;
}

/* Whether a command turns the prompt on. That is for people at the socket: here nobody could answer
 * it, and it would stand among the answers. */
static bool turns_prompt_on(const struct str *words, uint32_t n)
{
    return n > 0 && str_eq(words[0], STR("prompt")) &&
           (n == 1 || str_eq(words[1], STR("p")) || str_eq(words[1], STR("timed")));
}

/* Whether a command's answer goes on without end. */
static bool follows(const struct str *words, uint32_t n)
{
    if (n < 3 || !str_eq(words[0], STR("show")) || !str_eq(words[1], STR("events")))
        return false;
    for (uint32_t i = 2; i < n; i++)
        if (str_eq(words[i], STR("-w")))
            return true;
    return false;
}

static bool any_command(struct str line, bool (*is)(const struct str *words, uint32_t n))
{
    char buf[LIMIT_CTL_LINE];
    struct str command, words[COMMAND_WORDS];

    while (command_line_next(&line, &command)) {
        if (command.len > sizeof(buf))
            return false; /* the other side refuses it */
        if (is(words, command_line_words(command, buf, words, ARRAY_LEN(words))))
            return true;
    }
    return false;
}

/* Prints what comes as it comes, until the other side ends or a signal does. */
static int follow(const char *path, struct str line)
{
    const struct timeval forever = {0};
    int fd = connect_to("sluice ctl", path, CTL_TIMEOUT_S), severity = -1;
    char chunk[16384];

    if (fd < 0)
        return EXIT_REFUSED;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof(forever));
    ssize_t n = send_all(fd, line) < 0 ? -1 : 1;
    while (n > 0 || (n < 0 && errno == EINTR)) {
        n = recv(fd, chunk, sizeof(chunk), 0);
        struct str text = {chunk, n > 0 ? (size_t)n : 0};
        for (; severity < 0 && text.len > 0 && text.p[0] == '\n'; text.len--)
            text.p++; /* the answer to set severity-output */
        if (severity < 0 && text.len > 0)
            severity = cut_severity(&text);
        fwrite(text.p, 1, text.len, severity > 0 ? stderr : stdout);
        if (fflush(stdout) != 0)
            break;
    }
    close(fd);
    if (severity <= 0)
        fprintf(stderr, "sluice ctl: %s: the connection has ended\n", path);
    return EXIT_REFUSED;
}

int ctl_main(int argc, char **argv)
{
    static const char usage[] =
        "usage: sluice ctl [-s SOCKET] COMMAND...   (try: sluice ctl help)\n";
    const char *path = ctl_default_socket();
    struct strbuf line = {0}, answers = {0};
    int words, rc = EXIT_REFUSED;

    if (parse(argc, argv, usage, &path, &words) < 0)
        return EXIT_USAGE;
    if (words == 0) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    strbuf_add_cstr(&line, "set severity-output number;");
    for (int i = 1; i <= words; i++)
        strbuf_addf(&line, "%s%s", i > 1 ? " " : "", argv[i]);
    if (memchr(line.p, '\n', line.len) != NULL) {
        fputs("sluice ctl: a command is one line; several are separated by semicolons\n", stderr);
        rc = EXIT_USAGE;
    } else if (any_command(strbuf_str(&line), turns_prompt_on)) {
        fprintf(stderr,
                "sluice ctl: prompt is for a terminal on the socket itself, ctl ends after the "
                "answer (try: socat readline unix-connect:%s)\n",
                path);
        rc = EXIT_USAGE;
    } else if (any_command(strbuf_str(&line), follows)) {
        strbuf_add_char(&line, '\n');
        rc = follow(path, strbuf_str(&line));
    } else {
        strbuf_add_char(&line, '\n');
        if (ask("sluice ctl", path, CTL_TIMEOUT_S, strbuf_str(&line), &answers) == 0)
            rc = print_answers(strbuf_str(&answers)) ? EXIT_REFUSED : EXIT_DONE;
        if (fflush(stdout) != 0)
            rc = EXIT_REFUSED;
    }
    strbuf_fini(&line);
    strbuf_fini(&answers);
    return rc;
}

int healthcheck_main(int argc, char **argv)
{
    static const char usage[] = "usage: sluice healthcheck [-s SOCKET]\n";
    const char *path = ctl_default_socket();
    struct strbuf answers = {0};
    int words, rc = EXIT_REFUSED;

    if (parse(argc, argv, usage, &path, &words) < 0)
        return EXIT_USAGE;
    if (words > 0) {
        fprintf(stderr, "sluice healthcheck: unexpected \"%s\"\n%s", argv[1], usage);
        return EXIT_USAGE;
    }
    if (ask("sluice healthcheck", path, HEALTH_TIMEOUT_S, STR("show ready\n"), &answers) == 0) {
        struct str rest = strbuf_str(&answers);
        struct str answer = next_answer(&rest);
        fwrite(answer.p, 1, answer.len, stdout);
        if (str_eq(answer, STR("ready\n")))
            rc = EXIT_DONE;
    }
    strbuf_fini(&answers);
    return rc;
}
