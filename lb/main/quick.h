/* quick.h - `sluice quick`: a configuration from a few words, without a file. */
#ifndef SLUICE_MAIN_QUICK_H
#define SLUICE_MAIN_QUICK_H

#include "lb/main/args.h"

struct conf;
struct strbuf;

/* Configuration text from the words of the command (argv[0] is "quick"). 0, or -EINVAL with error
 * in words: a usage error. What the words mean is checked when the text is loaded. */
int quick_text(int argc, char **argv, struct strbuf *out,
               char error[static ARGS_ERROR_MAX]) WARN_UNUSED;
/* Loads it; NULL with *errors, or with a usage error in error. */
struct conf *quick_conf(int argc, char **argv, struct strbuf *errors,
                        char error[static ARGS_ERROR_MAX]);

#endif
