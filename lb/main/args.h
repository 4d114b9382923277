/* args.h - command line words: options by table, durations, sizes. Pure; errors in words. */
#ifndef SLUICE_MAIN_ARGS_H
#define SLUICE_MAIN_ARGS_H

#include "lb/base/assert.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARGS_ERROR_MAX 256

struct arg_row {
    const char *name;   /* "--config"; NULL: only the letter */
    char letter;        /* 'c'; 0: only the name */
    const char **value; /* where its value goes; NULL: a flag */
    bool *flag;         /* set by a flag */
};

enum args_order {
    ARGS_MIXED, /* options may stand anywhere */
    ARGS_FIRST, /* the first other word ends the options: it is a command with words of its own */
};

/* Takes the options out of argv[0..argc) (without the program's name) and leaves the other words
 * at its beginning. "--" ends the options. Knows `--name value`, `--name=value`, `-n value`,
 * `-nvalue` and bundled flags. 0, or -EINVAL with error in words. */
int args_parse(const struct arg_row *rows, size_t n_rows, enum args_order order, int argc,
               char **argv, int *out_words, char error[static ARGS_ERROR_MAX]) WARN_UNUSED;

/* "250ms", "2s", "1m", "1h"; "0". 0, or -EINVAL, -ERANGE. */
int args_duration_ms(const char *text, uint32_t *out_ms) WARN_UNUSED;
/* "13", "64k", "1m"; k = 1024. 0, or -EINVAL, -ERANGE. */
int args_size(const char *text, uint64_t max, uint64_t *out_bytes) WARN_UNUSED;

#endif
