/* fields.h - typed values of `show info` and `show stat`, and HAProxy's typed and JSON forms. */
#ifndef SLUICE_ADMIN_FIELDS_H
#define SLUICE_ADMIN_FIELDS_H

#include "lb/base/str.h"

#include <stdint.h>

struct field {
    const char *name;
    /* HAProxy's letters: origin (Metric Status Key Config Product), nature (`a`verage, Age
     * Counter Duration Gauge Limit Max Name Output Rate), scope (Process, Service), and whether it
     * is Volatile or Persistent across a reload. */
    char tags[5];
    const char *help;
};

struct field_value {
    enum { FIELD_NONE, FIELD_TEXT, FIELD_U32, FIELD_S32, FIELD_U64 } type;
    union {
        const char *text; /* borrowed until it is printed */
        uint64_t number;
        int32_t s32;
    };
};

static inline struct field_value field_text(const char *text)
{
    return (struct field_value){.type = FIELD_TEXT, .text = text};
}
static inline struct field_value field_u32(uint64_t v)
{
    return (struct field_value){.type = FIELD_U32, .number = v > UINT32_MAX ? UINT32_MAX : v};
}
static inline struct field_value field_s32(int64_t v)
{
    return (struct field_value){.type = FIELD_S32, .s32 = (int32_t)(v > INT32_MAX ? INT32_MAX : v)};
}
static inline struct field_value field_u64(uint64_t v)
{
    return (struct field_value){.type = FIELD_U64, .number = v};
}

void field_add_plain(struct strbuf *out, const struct field_value *v);
/* Quoted only where a quote, a comma or a line end is inside. */
void field_add_csv(struct strbuf *out, const struct field_value *v);
/* "POS.NAME.1:TAGS:TYPE:VALUE", without a newline; `desc` adds ":"HELP"". */
void field_add_typed(struct strbuf *out, const struct field *f, uint32_t pos,
                     const struct field_value *v, bool desc);
/* `"field":{…},"processNum":1,"tags":{…},"value":{…}`, without braces around. */
void field_add_json(struct strbuf *out, const struct field *f, uint32_t pos,
                    const struct field_value *v);

#endif
