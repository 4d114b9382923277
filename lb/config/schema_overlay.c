/* schema_overlay.c - the settings of the overlay: rows as those of the configuration, of a file of
 * its own (overlay.h). */
#include "lb/base/assert.h"
#include "lb/base/limits.h"
#include "lb/config/overlay.h"
#include "lb/config/schema.h"
#include "lb/config/text.h"

#define KEEP(field)                                                                                \
    .offset = offsetof(struct overlay_entry, field),                                               \
    .size = sizeof(((struct overlay_entry *)0)->field), .inherit = SCHEMA_NO_FIELD
#define NAMED "a name of 1 to 63 letters, digits and _ - . :"

static const struct schema_word states[] = {
    {"ready", BACKEND_READY}, {"drain", BACKEND_DRAIN}, {"maint", BACKEND_MAINT}, {0}};

/* clang-format off: a row reads as a row */
const struct schema_row schema_overlay_rows[] = {
    {.path = SCHEMA_OVERLAY, .type = SCHEMA_GROUP, .offset = SCHEMA_NO_FIELD},
    {.path = SCHEMA_OVERLAY ".backends",
     .type = SCHEMA_GROUPS,
     .inherit = SCHEMA_NO_FIELD,
     .min = 0,
     .max = LIMIT_BACKENDS,
     .offset = offsetof(struct overlay, entries),
     .size = sizeof(struct overlay_entry),
     .offset2 = offsetof(struct overlay, n)},
    {.path = SCHEMA_OVERLAY ".backends.pool",
     .type = SCHEMA_STRING,
     .flags = SCHEMA_REQUIRED,
     .min = 1,
     .max = LIMIT_NAME_LEN,
     .check = text_is_backend_name,
     .expected = NAMED,
     KEEP(pool)},
    {.path = SCHEMA_OVERLAY ".backends.name",
     .type = SCHEMA_STRING,
     .flags = SCHEMA_REQUIRED,
     .min = 1,
     .max = LIMIT_NAME_LEN,
     .check = text_is_backend_name,
     .expected = NAMED,
     KEEP(b.name)},
    {.path = SCHEMA_OVERLAY ".backends.added", .type = SCHEMA_BOOL, .def = "false", KEEP(added)},
    {.path = SCHEMA_OVERLAY ".backends.removed",
     .type = SCHEMA_BOOL,
     .def = "false",
     KEEP(removed)},
    {.path = SCHEMA_OVERLAY ".backends.address",
     .type = SCHEMA_BACKEND_ADDRESS,
     KEEP(b.address),
     .offset2 = offsetof(struct overlay_entry, b.address_text)},
    {.path = SCHEMA_OVERLAY ".backends.weight",
     .type = SCHEMA_INT,
     .min = 0,
     .max = LIMIT_WEIGHT,
     KEEP(b.weight)},
    {.path = SCHEMA_OVERLAY ".backends.max_connections",
     .type = SCHEMA_INT,
     .min = 0,
     .max = LIMIT_CONNECTIONS,
     .unit = "connections",
     KEEP(b.max_connections)},
    {.path = SCHEMA_OVERLAY ".backends.backup",
     .type = SCHEMA_BOOL,
     .def = "false",
     KEEP(b.backup)},
    {.path = SCHEMA_OVERLAY ".backends.state", .type = SCHEMA_ENUM, .words = states, KEEP(b.state)},
    {.path = SCHEMA_OVERLAY ".backends.reason",
     .type = SCHEMA_STRING,
     .min = 1,
     .max = LIMIT_MAINT_REASON,
     .check = text_is_reason,
     .expected = "a line of text of 1 to 127 bytes",
     KEEP(b.reason)},
    {.path = SCHEMA_OVERLAY ".backends.was", .type = SCHEMA_GROUP, .offset = SCHEMA_NO_FIELD},
    {.path = SCHEMA_OVERLAY ".backends.was.address",
     .type = SCHEMA_STRING,
     .min = 1,
     .max = 4096,
     .check = text_has_no_nul,
     .expected = "the address that the configuration had",
     KEEP(was.address)},
    {.path = SCHEMA_OVERLAY ".backends.was.weight",
     .type = SCHEMA_INT,
     .min = 0,
     .max = LIMIT_WEIGHT,
     KEEP(was.weight)},
    {.path = SCHEMA_OVERLAY ".backends.was.max_connections",
     .type = SCHEMA_INT,
     .min = 0,
     .max = LIMIT_CONNECTIONS,
     KEEP(was.max_connections)},
    {.path = SCHEMA_OVERLAY ".backends.was.state",
     .type = SCHEMA_ENUM,
     .words = states,
     KEEP(was.state)},
};
/* clang-format on */
const size_t schema_overlay_n = ARRAY_LEN(schema_overlay_rows);
static_assert(offsetof(struct overlay_entry, b) == 0, "an address is stored as a backend's");
