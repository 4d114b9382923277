/* cgi.h - CGI/1.1 (RFC 3875) in what FastCGI, uwsgi and SCGI have of it: variables, as each of them
 * writes them down, and the response, whose head begins with fields instead of a status line.
 * Pure; no allocation. */
#ifndef SLUICE_HTTP_CGI_H
#define SLUICE_HTTP_CGI_H

#include "lb/http/msg.h"

/* How variables are written. */
enum cgi_wire {
    CGI_FASTCGI, /* lengths of 1 or 4 bytes, big endian, then name and value */
    CGI_UWSGI,   /* lengths of 2 bytes, little endian, each before its text */
    CGI_SCGI,    /* name NUL value NUL */
};

#define CGI_PAIR_MAX  8      /* bytes that a variable needs beside its name and value, at most */
#define CGI_UWSGI_MAX 65535u /* bytes of a name, of a value, and of all of them together */

/* Writes one variable; out has room for name.len + value.len + CGI_PAIR_MAX bytes. Returns the
 * bytes written; 0: it cannot be said (a NUL in it, longer than uwsgi's lengths tell). */
size_t cgi_put(enum cgi_wire wire, struct str name, struct str value, char *out);

/* The variable's name of a header field: "X-Forwarded-For" -> "HTTP_X_FORWARDED_FOR". out has room
 * for name.len + 5 bytes. Returns the length; 0: the field is not passed on. That is Proxy, which
 * programs would take for the environment variable HTTP_PROXY, and names with an underscore, which
 * somebody else's field with a hyphen would look like. */
size_t cgi_header_name(struct str name, char *out);

/* Which script a path asks for. path: decoded, begins with "/". */
struct cgi_script {
    struct str name; /* of path, or one of the settings */
    bool add_index;  /* ... with the index behind it */
    struct str info; /* what is left of the path; len 0: nothing */
};
/* split: ".php": the script ends at the first segment that ends so (any case); len 0: there is none
 * that does. front: where paths go that name no script; len 0: such a path is itself the script,
 * with the index behind it when it ends in "/". */
void cgi_find_script(struct str path, struct str split, struct str front, struct cgi_script *out);

/* What stands before a response's fields so that h1_parse_response() takes them. */
#define CGI_STATUS_LINE "HTTP/1.1 200 OK\r\n"
/* Whether data begins with a status line of its own: 1 yes, 0 no, -1 too short to tell. */
int cgi_has_status_line(struct str data);
/* h: parsed; own_status: not behind CGI_STATUS_LINE. Else sets status (of a Status field, or 302
 * where there is a Location without one, RFC 3875 section 6.2.3) and drops Status. Finds anew
 * whether there is a body: without a length it ends with the stream. NULL, or the code of what is
 * wrong. */
const char *cgi_response(struct http_head *h, enum http_method to, bool own_status);

#endif
