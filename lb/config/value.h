/* value.h - values of settings: from text to the field of a conf struct and back, by type.
 * Knows nothing of libconfig: load.c makes struct values of its settings. */
#ifndef SLUICE_CONFIG_VALUE_H
#define SLUICE_CONFIG_VALUE_H

#include "lb/config/conf_arena.h"
#include "lb/config/schema.h"

enum value_kind { VALUE_BOOL, VALUE_INT, VALUE_FLOAT, VALUE_STRING, VALUE_LIST, VALUE_GROUP };

struct value {
    enum value_kind kind;
    bool boolean;
    bool from_env; /* a string that held a ${}: may serve as a number or boolean */
    int64_t integer;
    struct str text;     /* string; int and float: as written */
    uint32_t line;       /* of the joined text, for messages */
    struct value *items; /* list */
    uint32_t n;
};

/* What is wrong and where: a single element of a list has its own line. Zero it to start. */
struct value_error {
    struct strbuf text;
    uint32_t line;
};

/* Checks v against the row and stores it in the object at base. False with
 * "found ..., expected ..." in error; the field is untouched then. */
bool value_store(const struct schema_row *row, const struct value *v, struct conf_arena *arena,
                 void *base, struct value_error *error) WARN_UNUSED;
/* Stores the row's default, if it has one. */
void value_store_default(const struct schema_row *row, struct conf_arena *arena, void *base);

/* Appends the field as it is written in a file; false when there is nothing to write. */
bool value_print(const struct schema_row *row, const void *base, struct strbuf *out);
/* Appends def or example as it is written in a file. */
void value_print_text(const struct schema_row *row, const char *text, struct strbuf *out);
/* Appends a string in the configuration language: quoted, escaped, dollars doubled. */
void value_print_string(struct str s, bool template, struct strbuf *out);

void value_describe(const struct value *v, struct strbuf *out);        /* what was found */
void value_expected(const struct schema_row *row, struct strbuf *out); /* what would do */
void value_range(const struct schema_row *row, struct strbuf *out);    /* the same, short */
/* "500ms", "2s", "1h": the largest unit that needs no fraction. */
void value_print_duration(uint64_t ms, struct strbuf *out);
/* "32k", "1m": likewise. */
void value_print_size(uint64_t bytes, struct strbuf *out);

#endif
