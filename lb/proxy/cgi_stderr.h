/* cgi_stderr.h - what a FastCGI application writes to its standard error during a request, as lines
 * of the process log. The severity is taken from PHP's words, where they are PHP's. */
#ifndef SLUICE_PROXY_CGI_STDERR_H
#define SLUICE_PROXY_CGI_STDERR_H

#include <stdint.h>

struct cgi_stderr;
struct exchange;

/* The next bytes; *err is made with the first (without memory they are lost). Lines beyond the 16th
 * are counted only. */
void cgi_stderr_add(struct cgi_stderr **err, const struct exchange *x, const char *data,
                    uint32_t len);
/* No more will come: says what is left, and frees it. */
void cgi_stderr_end(struct cgi_stderr **err, const struct exchange *x);

#endif
