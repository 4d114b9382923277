/* origin_words.c - see origin_words.h */
#include "lb/main/origin_words.h"

#include "lb/main/args.h"
#include "lb/main/options.h"

#include <stdio.h>
#include <stdlib.h>

#define BYTES_MAX (1u << 30)

#define USAGE                                                                                      \
    "usage: sluice origin LISTEN [--name N] [--bytes N] [--delay D] [--fail-rate P]\n"             \
    "       sluice origin --udp LISTEN\n"

static int usage_error(const char *what, const char *word)
{
    fprintf(stderr, "sluice origin: %s%s%s\n%s", what, word != NULL ? ": " : "",
            word != NULL ? word : "", USAGE);
    return EXIT_USAGE;
}

/* "0.25" and "25%" are 250 in 1000. */
static bool parse_rate(const char *text, uint32_t *out_permille)
{
    char *rest;
    double rate = strtod(text, &rest);

    if (rest == text)
        return false;
    if (*rest == '%') {
        rate /= 100;
        rest++;
    }
    if (*rest != '\0' || !(rate >= 0 && rate <= 1))
        return false;
    *out_permille = (uint32_t)(rate * 1000 + 0.5);
    return true;
}

/* A name goes into a header line. */
static bool good_name(const char *name)
{
    for (const unsigned char *p = (const unsigned char *)name; *p != '\0'; p++)
        if (*p <= ' ' || *p >= 0x7f)
            return false;
    return *name != '\0';
}

int origin_words_read(int argc, char **argv, struct origin_conf *out)
{
    const char *name = "origin", *bytes = NULL, *delay = NULL, *fail_rate = NULL, *why;
    char error[ARGS_ERROR_MAX];
    const struct arg_row rows[] = {
        {"--name", 0, &name, NULL},    {"--bytes", 0, &bytes, NULL},
        {"--delay", 0, &delay, NULL},  {"--fail-rate", 0, &fail_rate, NULL},
        {"--udp", 0, NULL, &out->udp},
    };
    int words;

    *out = (struct origin_conf){0};
    if (args_parse(rows, ARRAY_LEN(rows), ARGS_MIXED, argc - 1, argv + 1, &words, error) < 0)
        return usage_error(error, NULL);
    if (words != 1)
        return usage_error("one address to listen on is needed", NULL);
    out->name = name;
    out->has_bytes = bytes != NULL;
    if (out->udp && (bytes != NULL || delay != NULL || fail_rate != NULL))
        return usage_error("--udp echoes and has no other options", NULL);
    if (!good_name(name))
        return usage_error("--name takes visible characters without spaces", name);
    if (bytes != NULL && args_size(bytes, BYTES_MAX, &out->bytes) < 0)
        return usage_error("--bytes takes a size like 13, 64k, 1m (at most 1024m)", bytes);
    if (delay != NULL && args_duration_ms(delay, &out->delay_ms) < 0)
        return usage_error("--delay takes a duration like 50ms, 2s", delay);
    if (fail_rate != NULL && !parse_rate(fail_rate, &out->fail_permille))
        return usage_error("--fail-rate takes a part like 0.25 or 25%", fail_rate);
    if (addr_parse(str_of(argv[1]), false, true, &out->listen, &why) < 0)
        return usage_error(why, argv[1]);
    if (out->udp && addr_family(&out->listen.addr) == AF_UNIX)
        return usage_error("--udp takes an address with a port", argv[1]);
    return EXIT_DONE;
}
