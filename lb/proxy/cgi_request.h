/* cgi_request.h - an exchange's request as the variables of CGI/1.1 (RFC 3875), for backends that
 * speak FastCGI, uwsgi or SCGI. */
#ifndef SLUICE_PROXY_CGI_REQUEST_H
#define SLUICE_PROXY_CGI_REQUEST_H

#include "lb/http/cgi.h"
#include "lb/proxy/wire.h"

/* Everything that goes before the payload, in one buffer: FastCGI's BEGIN_REQUEST (keep: its flag)
 * and PARAMS up to their end, uwsgi's packet, SCGI's netstring. r: as for wire_ops.send_head; its
 * body is none, or of the length that is said (has_content_length). NULL: no memory, or with
 * *out_reason what cannot be said in this protocol. */
struct io_buf *cgi_request(struct exchange *x, enum cgi_wire wire, const struct wire_request *r,
                           bool keep, const char **out_reason);

#endif
