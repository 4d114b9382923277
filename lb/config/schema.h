/* schema.h - every setting of the configuration language: one row each, one table.
 *
 * Reading, checking, `sluice -T`, etc/sluice.conf and the reference page all come from the rows; a
 * new setting is a field in a conf struct and a row here. */
#ifndef SLUICE_CONFIG_SCHEMA_H
#define SLUICE_CONFIG_SCHEMA_H

#include "lb/base/str.h"
#include "lb/upstream/pool_conf.h"

enum schema_type {
    SCHEMA_GROUP,  /* { name = value; ... } stored in the same object as what is around it */
    SCHEMA_GROUPS, /* ( {...}, {...} ): objects of their own */
    SCHEMA_OBJECT, /* { name = value; ... }: one object of its own; the field is NULL without it */
    SCHEMA_BOOL,
    SCHEMA_INT,
    SCHEMA_DURATION, /* "500ms"; min, max and field in ms */
    SCHEMA_SIZE,     /* "32k"; min, max and field in bytes; "0" where min is 0: no limit */
    SCHEMA_RATE,     /* "100/s": how many, and the milliseconds at offset2 */
    SCHEMA_PERCENT,  /* "10%" */
    SCHEMA_ENUM,     /* one of words */
    SCHEMA_STRING,   /* min, max: bytes */
    SCHEMA_STRINGS,  /* a string or an array of them; how many at offset2; min, max: how many */
    SCHEMA_BYTES,    /* a string that may hold NULs; its length at offset2 */
    SCHEMA_FILE_MODE,
    SCHEMA_BACKEND_ADDRESS,
    SCHEMA_CHECK_ADDRESS,
    SCHEMA_BINDS,
    SCHEMA_NETWORKS,     /* how many at offset2 */
    SCHEMA_HOST_ADDRESS, /* without a port */
    SCHEMA_HASH_KEY,     /* enum hash_key, its name at offset2 */
    SCHEMA_SERVERS,
    SCHEMA_STATUSES,
    SCHEMA_HTTPS_PORT, /* false, true (443) or a port */
};

enum schema_flags {
    SCHEMA_REQUIRED = 1,     /* must be given wherever its group is */
    SCHEMA_TEMPLATE = 2,     /* $lower variables are left for its own compiler */
    SCHEMA_SINGLE = 4,       /* groups: one group without a list will do */
    SCHEMA_ZERO_OFF = 8,     /* 0 is allowed too, below min, and means off */
    SCHEMA_OPTIONAL = 16,    /* group: absent unless given; the sample shows it commented out */
    SCHEMA_WHERE_GIVEN = 32, /* group: its defaults hold only where it is given, else all is 0 */
    SCHEMA_SHOWN = 64,       /* the example is active in the sample: one of several must be given */
    SCHEMA_ASIDE = 128,    /* the sample shows it as a remark: it excludes another setting, or names
                              a file that must be there */
    SCHEMA_LOWER = 256,    /* strings: kept in lower case */
    SCHEMA_SECONDS = 512,  /* duration: the field is in seconds */
    SCHEMA_IS_MODE = 1024, /* what rows with a mode of the same object go by */
    /* Object: true is one without a setting, false none; the bool at offset2, where there is one,
     * keeps that it was false. */
    SCHEMA_OR_BOOL = 2048,
    SCHEMA_SECRET = 4096, /* string: shown to nobody */
};

/* Where a setting of a pool or listener may stand. */
enum schema_mode {
    SCHEMA_ANY_MODE,
    SCHEMA_HTTP_ONLY,
    SCHEMA_TCP_ONLY,
    SCHEMA_UDP_ONLY,
    SCHEMA_NOT_UDP, /* where there are connections: tcp, http */
};

enum schema_reload { SCHEMA_RELOAD, SCHEMA_RESTART }; /* how a change takes effect */

struct schema_word {
    const char *word;
    int value;
};

#define SCHEMA_NO_FIELD ((size_t)-1)

struct schema_row {
    const char *path; /* "pools.health.interval" */
    enum schema_type type;
    unsigned flags;
    enum schema_reload reload;
    enum schema_mode mode;
    int64_t min, max;
    const char *unit;    /* of an integer, in words */
    const char *def;     /* as in a file but without quotes; NULL: none */
    const char *absent;  /* without a default: what happens when it is not given, in words */
    const char *example; /* shown in the sample where there is no default */
    const struct schema_word *words; /* enum; ends with a NULL word */
    const char *later;      /* words that versions to come bring, with blanks around each */
    const char *later_note; /* instead of the usual sentence about them */
    /* Strings, each of a list, and integers: whether the text will do; may append why not. expected
     * says what would. */
    bool (*check)(struct str text, struct strbuf *why);
    const char *expected;
    size_t offset, size; /* of the field in its object; groups: size of one object */
    size_t offset2;      /* the other field of types that have two */
    size_t inherit;      /* offset in struct conf_own of the global value; SCHEMA_NO_FIELD: none */
    const char *help;    /* one line */
};

extern const struct schema_row schema_rows[];
extern const size_t schema_n;

/* The overlay is a file of its own: its rows are behind this path, in a table of their own. */
#define SCHEMA_OVERLAY "overlay:"
extern const struct schema_row schema_overlay_rows[];
extern const size_t schema_overlay_n;

/* Settings of `parent` ("" for the top, else the path of a row) are found in table order: start
 * with NULL. The rows below a group stand right behind it. */
const struct schema_row *schema_next(const char *parent, const struct schema_row *after);
const struct schema_row *schema_find(const char *parent, struct str name);
const struct schema_row *schema_at(const char *path);  /* it must be there */
bool schema_is_group(const struct schema_row *row);    /* of any of the three kinds */
const char *schema_name(const struct schema_row *row); /* the last part of its path */
/* Whether it may stand in a pool or listener of this mode. */
bool schema_fits_mode(const struct schema_row *row, enum pool_mode mode);
/* In words, for "found a setting of mode ...". */
const char *schema_mode_text(const struct schema_row *row);

#endif
