/* http_access.h - who may ask the admin address: its Host field (a page of somebody else's, whose
 * name leads here, must not read it: DNS rebinding) and its token. Pure. */
#ifndef SLUICE_ADMIN_HTTP_ACCESS_H
#define SLUICE_ADMIN_HTTP_ACCESS_H

#include "lb/admin/http_server.h"
#include "lb/http/msg.h"

/* The request's host is an address, localhost (or below it), one of conf's, or there is none
 * (HTTP/1.0). */
bool http_access_host(const struct http_server_conf *conf, const struct http_head *head);
/* No token is asked for, or the request has it: as Authorization: Bearer, or as the password of
 * Basic. */
bool http_access_token(const struct http_server_conf *conf, const struct http_head *head);
/* NULL: a browser that sends this does so for a page of ours, or it is no browser; else what speaks
 * against it. (Sec-Fetch-Site, Origin.) */
const char *http_access_foreign(const struct http_head *head);

#endif
