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
bool text_is_absolute_path(struct str s, struct strbuf *why);
bool text_is_socket_path(struct str s, struct strbuf *why); /* absolute, fits sun_path */
bool text_is_bind(struct str s, struct strbuf *why);        /* TCP, to listen on */
bool text_is_log_target(struct str s, struct strbuf *why);
bool text_is_log_format(struct str s, struct strbuf *why);
bool text_is_method(struct str s, struct strbuf *why);
bool text_is_uri_path(struct str s, struct strbuf *why);
bool text_is_visible(struct str s, struct strbuf *why); /* no blanks, no control bytes */
bool text_is_host(struct str s, struct strbuf *why);
bool text_has_no_nul(struct str s, struct strbuf *why);
bool text_is_reason(struct str s, struct strbuf *why); /* shown in logs and tables */
/* Mode http. why may be NULL for the first. */
bool text_is_token(struct str s, struct strbuf *why);          /* header, cookie names, methods */
bool text_is_header_name(struct str s, struct strbuf *why);    /* one that a route may change */
bool text_is_header_pattern(struct str s, struct strbuf *why); /* the same, or its begin and a * */
bool text_is_query_name(struct str s, struct strbuf *why);
bool text_is_header_line(struct str s, struct strbuf *why);  /* "Name: value" */
bool text_is_host_pattern(struct str s, struct strbuf *why); /* of a route */
bool text_is_path_pattern(struct str s, struct strbuf *why);
bool text_is_prefix(struct str s, struct strbuf *why);
bool text_is_folder(struct str s, struct strbuf *why); /* absolute, no slash at its end */
bool text_has_no_slash(struct str s, struct strbuf *why);
bool text_is_template(struct str s, struct strbuf *why);
bool text_is_line_template(struct str s, struct strbuf *why); /* a header's value */
bool text_is_path_template(struct str s, struct strbuf *why);
bool text_is_location(struct str s, struct strbuf *why);
bool text_is_media_type(struct str s, struct strbuf *why);
bool text_is_realm(struct str s, struct strbuf *why);
bool text_is_secret(struct str s, struct strbuf *why);
bool text_is_file(struct str s, struct strbuf *why);
bool text_is_directory(struct str s, struct strbuf *why);
bool text_is_file_name(struct str s, struct strbuf *why);
bool text_is_sni_host(struct str s, struct strbuf *why);
bool text_is_server_name(struct str s, struct strbuf *why); /* of a certificate, for SNI */
bool text_is_alpn(struct str s, struct strbuf *why);
bool text_is_ratelimit_key(struct str s, struct strbuf *why);
bool text_is_redirect_status(struct str s, struct strbuf *why);
bool text_is_request(struct str s, struct strbuf *why); /* "GET http://host/path" */

#endif
