/* scan.h - a light scan of the configuration text beside libconfig's parser.
 *
 * libconfig 1.5 wraps integers over 2^31 silently, joins adjacent strings of an array into one,
 * drops \x00, gives the last string of an array the line of the next token, and says "syntax
 * error" for all mistakes. The scan reads the same text into a tree of the same shape, with true
 * lines, exact integers and exact strings, and explains what is wrong. It is a little stricter
 * than the library (no octal numbers, no unknown escapes, no string over several lines), so both
 * versions in use, 1.5 and 1.7, agree on what passes. */
#ifndef SLUICE_CONFIG_SCAN_H
#define SLUICE_CONFIG_SCAN_H

#include "lb/config/conf_arena.h"

struct problems;

enum scan_type {
    SCAN_GROUP,
    SCAN_LIST,
    SCAN_ARRAY,
    SCAN_STRING,
    SCAN_INT,
    SCAN_FLOAT,
    SCAN_BOOL,
};

struct scan_node {
    enum scan_type type;
    uint32_t line;   /* of its name or, in lists and arrays, of its first token */
    struct str name; /* empty in lists and arrays */
    struct str text; /* string: its bytes; other scalars: as written */
    int64_t integer; /* SCAN_INT */
    bool wide;       /* SCAN_INT with suffix L: another type to libconfig */
    uint32_t joined; /* strings that stood next to each other without a comma; 0 for one */
    uint32_t n;      /* children */
    struct scan_node *first, *last, *next;
};

/* The root group, in the arena, or NULL with one mistake added to problems. */
struct scan_node *scan_text(struct conf_arena *arena, struct str text, struct problems *problems);

#endif
