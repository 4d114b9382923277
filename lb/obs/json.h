/* json.h - text as it stands inside a JSON string. Pure.
 * UTF-8 passes unchanged, control bytes, `"` and `\` are escaped, bytes that are not UTF-8 become
 * the replacement character: whatever comes in, the result is valid JSON. */
#ifndef SLUICE_OBS_JSON_H
#define SLUICE_OBS_JSON_H

#include "lb/base/str.h"

#define JSON_CHAR_MAX 6 /* bytes of one character's escaped form */

/* Cuts the first character off *rest (not empty); writes its form, returns that form's length. */
size_t json_char(struct str *rest, char out[static JSON_CHAR_MAX]);
/* Appends s, quoted. */
void json_add_string(struct strbuf *b, struct str s);

#endif
