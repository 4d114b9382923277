/* options.c - see options.h */
#include "lb/main/options.h"

#include "lb/base/suggest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    enum command command;
} commands[] = {
    {"run", COMMAND_RUN},       {"quick", COMMAND_QUICK},
    {"ctl", COMMAND_CTL},       {"healthcheck", COMMAND_HEALTHCHECK},
    {"origin", COMMAND_ORIGIN}, {"version", COMMAND_VERSION},
    {"help", COMMAND_HELP},     {"explain", COMMAND_EXPLAIN},
    {"top", COMMAND_TOP},
};

static const struct {
    enum command command;
    const char *text;
} usages[] = {
    {COMMAND_RUN,
     "  sluice [-c FILE]       run in the foreground (default " OPTIONS_DEFAULT_CONFIG ")\n"
     "  sluice -x SOCKET [-c FILE] [--detach]\n"
     "                         take the place of the running sluice of this stats socket, without\n"
     "                         losing a connection; --detach: return when it serves\n"},
    {COMMAND_CHECK, "  sluice -t [-c FILE]    check the configuration: 0 good, 1 bad\n"},
    {COMMAND_DUMP, "  sluice -T [-c FILE]    check it, then print it with every default\n"},
    {COMMAND_QUICK,
     "  sluice quick [--mode http|tcp] [--balance A] [--health PATH] [--stats SOCKET]\n"
     "               [--admin ADDR] [--cert FILE [--key FILE]] [--print] LISTEN BACKEND...\n"
     "                         run without a file; the mode is tcp unless said. Without words it\n"
     "                         is SLUICE_LISTEN, SLUICE_BACKENDS, SLUICE_MODE... that say so;\n"
     "                         --print writes the configuration instead of running it\n"},
    {COMMAND_EXPLAIN,
     "  sluice explain [-c FILE | -s SOCKET] METHOD URL [-H 'Name: value']... [--from ADDR]\n"
     "                 [--listener NAME] [--json]\n"
     "                         what would happen to this request, rule by rule, and why\n"},
    {COMMAND_CTL,
     "  sluice ctl [-s SOCKET] COMMAND\n"
     "                         one command on the stats socket, for example: show stat\n"},
    {COMMAND_TOP, "  sluice top [-s SOCKET] [--interval D] [--once]\n"
                  "                         live view in the terminal; ? lists its keys\n"},
    {COMMAND_HEALTHCHECK, "  sluice healthcheck [-s SOCKET]\n"
                          "                         0 when ready\n"},
    {COMMAND_ORIGIN,
     "  sluice origin LISTEN [--name N] [--bytes N] [--delay D] [--fail-rate P] [--udp]\n"
     "                         a small HTTP backend for trying things out\n"},
    {COMMAND_VERSION, "  sluice -v | -V         version | version, libraries, engines\n"},
};

static void print_usage(FILE *out, enum command of)
{
    for (size_t i = 0; i < ARRAY_LEN(usages); i++)
        if (of == COMMAND_HELP || of == usages[i].command)
            fputs(usages[i].text, out);
}

void options_print_help(FILE *out, enum command of)
{
    if (of != COMMAND_HELP) {
        print_usage(out, of);
        fputs("\nMore in sluice(8); sluice -h lists all commands.\n", out);
        return;
    }
    fputs("sluice " SLUICE_VERSION " - a load balancer\n\n", out);
    print_usage(out, of);
    fputs(
        "\nSignals: TERM and QUIT drain, a second one ends at once; INT ends at once when nothing\n"
        "is in flight; USR1 reopens the logs. More in sluice(8).\n",
        out);
}

/* `sluice ctl -h`; but `sluice ctl show -h` is the server's affair. */
static bool asks_for_help(int argc, char **argv)
{
    return argc > 1 && (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0);
}

static int unknown_command(const char *word, char error[static ARGS_ERROR_MAX])
{
    struct suggest names;

    suggest_begin(&names, str_of(word));
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        suggest_offer(&names, commands[i].name);
    const char *near = suggest_best(&names);
    if (near != NULL)
        snprintf(error, ARGS_ERROR_MAX, "unknown command %.60s (did you mean %s?)", word, near);
    else if (strchr(word, '/') != NULL || strstr(word, ".conf") != NULL)
        snprintf(error, ARGS_ERROR_MAX, "unknown command %.120s (a configuration file: -c FILE)",
                 word);
    else
        snprintf(error, ARGS_ERROR_MAX, "unknown command %.60s", word);
    return -EINVAL;
}

/* A command with words of its own; those that take none say so here. */
static int set_command(struct options *o, int argc, char **argv, char error[static ARGS_ERROR_MAX])
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (strcmp(argv[0], commands[i].name) != 0)
            continue;
        if (o->command != COMMAND_RUN) {
            snprintf(error, ARGS_ERROR_MAX, "%s does not go with another command", argv[0]);
            return -EINVAL;
        }
        o->command = commands[i].command;
        if (asks_for_help(argc, argv)) {
            o->help_of = o->command;
            o->command = COMMAND_HELP;
            return 0;
        }
        o->argc = argc;
        o->argv = argv;
        bool takes_words = o->command == COMMAND_QUICK || o->command == COMMAND_CTL ||
                           o->command == COMMAND_HEALTHCHECK || o->command == COMMAND_ORIGIN ||
                           o->command == COMMAND_EXPLAIN || o->command == COMMAND_TOP;
        if (argc > 1 && !takes_words) {
            snprintf(error, ARGS_ERROR_MAX, "%s takes no words after it: %.60s", argv[0], argv[1]);
            return -EINVAL;
        }
        if (o->config != NULL && o->command != COMMAND_RUN && o->command != COMMAND_EXPLAIN) {
            snprintf(error, ARGS_ERROR_MAX, "-c does not go with %s", argv[0]);
            return -EINVAL;
        }
        return 0;
    }
    return unknown_command(argv[0], error);
}

int options_parse(int argc, char **argv, struct options *out, char error[static ARGS_ERROR_MAX])
{
    struct options o = {.command = COMMAND_RUN, .help_of = COMMAND_HELP};
    bool check = false, dump = false, version = false, build = false, help = false;
    bool sample = false, reference = false, manual = false, ctl_manual = false, ctl_words = false;
    const struct arg_row rows[] = {
        {"--config", 'c', &o.config, NULL},
        {"--take-over", 'x', &o.take_over, NULL},
        {"--detach", 0, NULL, &o.detach},
        {"--check", 't', NULL, &check},
        {"--dump", 'T', NULL, &dump},
        {"--version", 'v', NULL, &version},
        {"--build", 'V', NULL, &build},
        {"--help", 'h', NULL, &help},
        {"--print-sample", 0, NULL, &sample},
        {"--print-reference", 0, NULL, &reference},
        {"--print-manual", 0, NULL, &manual},
        {"--print-ctl-manual", 0, NULL, &ctl_manual},
        {"--print-ctl-words", 0, NULL, &ctl_words},
    };
    int words;
    int rc = args_parse(rows, ARRAY_LEN(rows), ARGS_FIRST, argc - 1, argv + 1, &words, error);

    if (rc < 0)
        return rc;
    if (help)
        o.command = COMMAND_HELP;
    else if (build)
        o.command = COMMAND_BUILD;
    else if (version)
        o.command = COMMAND_VERSION;
    else if (sample)
        o.command = COMMAND_SAMPLE;
    else if (reference)
        o.command = COMMAND_REFERENCE;
    else if (manual)
        o.command = COMMAND_MANUAL;
    else if (ctl_manual)
        o.command = COMMAND_CTL_MANUAL;
    else if (ctl_words)
        o.command = COMMAND_CTL_WORDS;
    else if (dump)
        o.command = COMMAND_DUMP;
    else if (check)
        o.command = COMMAND_CHECK;
    if (words > 0 && !help) {
        rc = set_command(&o, words, argv + 1, error);
        if (rc < 0)
            return rc;
    }
    if (o.take_over != NULL && o.command != COMMAND_RUN) {
        snprintf(error, ARGS_ERROR_MAX, "-x does not go with another command");
        return -EINVAL;
    }
    if (o.detach && o.take_over == NULL) {
        snprintf(error, ARGS_ERROR_MAX, "--detach goes with -x SOCKET only");
        return -EINVAL;
    }
    o.given_config = o.config;
    if (o.config == NULL)
        o.config = OPTIONS_DEFAULT_CONFIG;
    *out = o;
    return 0;
}
