/* main.c - which command was asked for, and what it returns. */
#include "lb/admin/commands_manual.h"
#include "lb/base/str.h"
#include "lb/config/conf.h"
#include "lb/config/overlay.h"
#include "lb/main/conf_tests.h"
#include "lb/main/ctl.h"
#include "lb/main/explain.h"
#include "lb/main/options.h"
#include "lb/main/origin.h"
#include "lb/main/process.h"
#include "lb/main/quick.h"
#include "lb/main/takeover.h"
#include "lb/main/top.h"
#include "lb/main/version.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static int usage_error(const char *error)
{
    fprintf(stderr, "sluice: %s\nsluice -h lists the commands\n", error);
    return EXIT_USAGE;
}

/* Mistakes and warnings go to stderr, each on its line. */
static void print_problems(struct strbuf *problems)
{
    if (problems->len > 0)
        fputs(problems->p, stderr);
    strbuf_fini(problems);
}

static struct conf *load(const char *path)
{
    struct strbuf problems = {0};
    struct conf *conf = conf_load(path, &problems);

    print_problems(&problems);
    return conf;
}

/* False: it is broken. `or_else` says what comes of that. */
static bool check_overlay(const struct conf *conf, const char *or_else, struct strbuf *problems)
{
    struct strbuf errors = {0};
    struct overlay *o = conf->overlay != NULL ? overlay_load(conf->overlay, &errors) : NULL;

    bool good = o != NULL || errors.len == 0;

    if (!good)
        strbuf_addf(problems, STR_FMT "%s: %s\n", STR_ARG(errors), conf->overlay, or_else);
    overlay_free(&o);
    strbuf_fini(&errors);
    return good;
}

static int check(const char *path)
{
    struct conf *conf = load(path);
    struct strbuf problems = {0};

    if (conf == NULL)
        return EXIT_FAILED;
    /* It keeps nobody from starting. */
    check_overlay(conf, "warning: the overlay would be left out at the start", &problems);
    uint32_t tests = conf->n_tests, failed = conf_tests_run(conf, &problems);
    print_problems(&problems);
    conf_free(&conf);
    if (failed > 0) {
        fprintf(stderr, "%s: %u of %u tests failed\n", path, failed, tests);
        return EXIT_FAILED;
    }
    fprintf(stderr, "%s: the configuration is good\n", path);
    return EXIT_DONE;
}

static int dump(const char *path)
{
    struct conf *conf = load(path);
    struct strbuf text = {0};

    if (conf == NULL)
        return EXIT_FAILED;
    conf_dump_hiding(conf, &text);
    fputs(text.p != NULL ? text.p : "", stdout);
    strbuf_fini(&text);
    conf_free(&conf);
    return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}

static int run(const char *path)
{
    struct conf *conf = load(path);

    if (conf == NULL)
        return EXIT_FAILED;
    int rc = process_run(conf, path, true, NULL);
    conf_free(&conf);
    return rc;
}

/* tell: a descriptor that is told when it serves, or -1. */
static int take_over(const struct options *o, int tell)
{
    struct conf *conf = load(o->config);
    struct strbuf problems = {0};
    struct takeover t;
    char error[TAKEOVER_ERROR_MAX];

    if (conf == NULL)
        return EXIT_FAILED;
    int rc = EXIT_FAILED;
    /* Somebody serves, with the overlay as it was: nothing is won by going on without it. */
    if (!check_overlay(conf, "error: the overlay has to be mended, or removed, first", &problems)) {
        print_problems(&problems);
    } else if (takeover_begin(&t, o->take_over, error) < 0) {
        fprintf(stderr, "sluice: -x %s\n", error);
    } else {
        t.tell_fd = tell;
        rc = process_run(conf, o->config, true, &t);
        takeover_fini(&t);
    }
    conf_free(&conf);
    return rc;
}

/* The parent waits until its child serves, or has failed; then the child is on its own. */
static int detach(const struct options *o)
{
    int ends[2], status;
    char byte;

    if (pipe2(ends, O_CLOEXEC) < 0) {
        perror("sluice: pipe");
        return EXIT_FAILED;
    }
    pid_t child = fork();
    if (child < 0) {
        perror("sluice: fork");
        return EXIT_FAILED;
    }
    if (child == 0) {
        close(ends[0]);
        setsid();
        return take_over(o, ends[1]);
    }
    close(ends[1]);
    if (read(ends[0], &byte, 1) == 1)
        return EXIT_DONE;
    if (waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) != 0)
        return WEXITSTATUS(status);
    fprintf(stderr, "sluice: the new process has ended before it served\n");
    return EXIT_FAILED;
}

/* argv[0] is "quick". */
static int quick(int argc, char **argv)
{
    struct strbuf problems = {0};
    struct quick q;
    char error[ARGS_ERROR_MAX];
    struct conf *conf = NULL;
    int rc = EXIT_FAILED;

    if (quick_make(argc, argv, environ, &q, error) < 0) {
        rc = usage_error(error);
    } else {
        strbuf_add_str(&problems, strbuf_str(&q.warnings));
        conf = quick_load(&q, &problems);
        print_problems(&problems);
    }
    if (conf != NULL && q.print) {
        fputs(q.text.p, stdout);
        rc = fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
    } else if (conf != NULL) {
        rc = process_run(conf, q.name, false, NULL);
    }
    if (conf != NULL)
        conf_free(&conf);
    quick_fini(&q);
    return rc;
}

/* Without the usual file, which nobody has named: a container may be told all by its environment,
 * else this is a first try, mostly. */
static int run_or_hint(const struct options *o)
{
    bool usual = o->given_config == NULL && access(o->config, F_OK) < 0;

    if (usual && quick_in(environ)) {
        char *argv[] = {"quick", NULL};
        return quick(1, argv);
    }
    int rc = run(o->config);
    if (rc != EXIT_DONE && usual)
        fputs("-c FILE names another file; without any: sluice quick LISTEN BACKEND... "
              "(sluice -h says more)\n",
              stderr);
    return rc;
}

int main(int argc, char **argv)
{
    struct options o;
    char error[ARGS_ERROR_MAX];

    if (options_parse(argc, argv, &o, error) < 0)
        return usage_error(error);
    switch (o.command) {
    case COMMAND_RUN:
        if (o.take_over != NULL)
            return o.detach ? detach(&o) : take_over(&o, -1);
        return run_or_hint(&o);
    case COMMAND_CHECK:
        return check(o.config);
    case COMMAND_DUMP:
        return dump(o.config);
    case COMMAND_QUICK:
        return quick(o.argc, o.argv);
    case COMMAND_EXPLAIN:
        return explain_main(o.argc, o.argv, o.given_config);
    case COMMAND_CTL:
        return ctl_main(o.argc, o.argv);
    case COMMAND_TOP:
        return top_main(o.argc, o.argv);
    case COMMAND_HEALTHCHECK:
        return healthcheck_main(o.argc, o.argv);
    case COMMAND_ORIGIN:
        return origin_main(o.argc, o.argv);
    case COMMAND_VERSION:
        version_print(stdout);
        break;
    case COMMAND_BUILD:
        version_print_build(stdout);
        break;
    case COMMAND_HELP:
        options_print_help(stdout, o.help_of);
        break;
    case COMMAND_SAMPLE:
        conf_print_sample(stdout);
        break;
    case COMMAND_REFERENCE:
        conf_print_reference(stdout);
        break;
    case COMMAND_MANUAL:
        conf_print_manual(stdout);
        break;
    case COMMAND_CTL_MANUAL:
        commands_print_manual(stdout);
        break;
    case COMMAND_CTL_WORDS:
        commands_print_words(stdout);
        break;
    }
    return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}
