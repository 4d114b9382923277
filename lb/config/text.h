/* text.h - what strings of the configuration may hold, beyond their length: the `check` column of
 * the schema. Each answers whether the text will do; some append why not. Texts may hold any
 * bytes. */
#ifndef SLUICE_CONFIG_TEXT_H
#define SLUICE_CONFIG_TEXT_H

#include "lb/base/str.h"

bool text_is_name(struct str s, struct strbuf *why);         /* listeners, pools */
bool text_is_backend_name(struct str s, struct strbuf *why); /* not FRONTEND or BACKEND */
bool text_is_user(struct str s, struct strbuf *why);         /* known to the system */
bool text_is_group(struct str s, struct strbuf *why);
bool text_is_socket_path(struct str s, struct strbuf *why); /* absolute, fits sun_path */
bool text_is_log_target(struct str s, struct strbuf *why);
bool text_is_log_format(struct str s, struct strbuf *why);
bool text_is_method(struct str s, struct strbuf *why);
bool text_is_uri_path(struct str s, struct strbuf *why);
bool text_is_host(struct str s, struct strbuf *why);
bool text_has_no_nul(struct str s, struct strbuf *why);

#endif
