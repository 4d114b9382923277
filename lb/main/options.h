/* options.h - what the command line asks for. Pure: reads words, prints nothing. */
#ifndef SLUICE_MAIN_OPTIONS_H
#define SLUICE_MAIN_OPTIONS_H

#include "lb/main/args.h"

#include <stdio.h>

#define OPTIONS_DEFAULT_CONFIG "/etc/sluice/sluice.conf"

enum exit_code { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

enum command {
    COMMAND_RUN,
    COMMAND_CHECK,      /* -t */
    COMMAND_DUMP,       /* -T */
    COMMAND_VERSION,    /* -v */
    COMMAND_BUILD,      /* -V */
    COMMAND_HELP,       /* -h */
    COMMAND_SAMPLE,     /* --print-sample: etc/sluice.conf from the schema */
    COMMAND_REFERENCE,  /* --print-reference: the settings as Markdown */
    COMMAND_MANUAL,     /* --print-manual: the settings as a manual page */
    COMMAND_CTL_MANUAL, /* --print-ctl-manual: the commands of the stats socket as a manual page */
    COMMAND_CTL_WORDS,  /* --print-ctl-words: their words alone, for completion */
    COMMAND_QUICK,
    COMMAND_EXPLAIN,
    COMMAND_CTL,
    COMMAND_TOP,
    COMMAND_HEALTHCHECK,
    COMMAND_ORIGIN,
};

struct options {
    enum command command;
    const char *config;       /* file; set for run, check, dump */
    const char *given_config; /* the same as -c has named it, NULL: it has not */
    const char *take_over; /* -x: the stats socket of the process whose place it takes, or NULL */
    bool detach;           /* return when it serves; with take_over only */
    enum command help_of;  /* of COMMAND_HELP: one command's usage; COMMAND_HELP: all */
    int argc;              /* of a command that takes words: argv[0] is its name */
    char **argv;
};

/* argv as main got it; its words are moved about. 0, or -EINVAL with error in words (a usage
 * error). */
int options_parse(int argc, char **argv, struct options *out,
                  char error[static ARGS_ERROR_MAX]) WARN_UNUSED;
void options_print_help(FILE *out, enum command of);

#endif
