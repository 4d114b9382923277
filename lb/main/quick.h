/* quick.h - `sluice quick`: a configuration without a file, from a few words or, for a sidecar,
 * from the environment. */
#ifndef SLUICE_MAIN_QUICK_H
#define SLUICE_MAIN_QUICK_H

#include "lb/base/str.h"
#include "lb/main/args.h"

struct conf;

/* Configuration text, and for each of its lines what asked for it. */
struct quick {
    struct strbuf text;
    const char *
        *asked; /* per line: "--mode", "SLUICE_MODE"; NULL: nobody, it belongs to the shape */
    uint32_t n_lines, cap_lines;
    const char *name;       /* stands for the file in messages */
    struct strbuf warnings; /* variables that are nearly ones of ours, a line each */
    bool print;             /* --print: the text is what is wanted */
};

/* From the words of the command (argv[0] is "quick"), or where it has none but options, from those
 * variables (environ's form). 0, or -EINVAL with error in words: a usage error. What the words mean
 * is checked when the text is loaded. Borrows argv and variables; quick_fini() in either case. */
int quick_make(int argc, char **argv, char **variables, struct quick *out,
               char error[static ARGS_ERROR_MAX]) WARN_UNUSED;
/* Whether the environment describes a sidecar. */
bool quick_in(char **variables);
/* Loads it; NULL with *problems, which name the option or variable. */
struct conf *quick_load(const struct quick *q, struct strbuf *problems);
void quick_fini(struct quick *q);

#endif
