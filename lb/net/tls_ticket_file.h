/* tls_ticket_file.h - ticket keys from a file that several instances share. */
#ifndef SLUICE_NET_TLS_TICKET_FILE_H
#define SLUICE_NET_TLS_TICKET_FILE_H

#include "lb/base/assert.h"

#include <stdbool.h>

struct tls_keyring;
struct tls_server_conf;
struct strbuf;

/* Reads conf->ticket_keys into k. False with a line in errors, k as it was; a warning there when
 * others may read the file. */
bool tls_ticket_file_read(const struct tls_server_conf *conf, struct tls_keyring *k,
                          struct strbuf *errors) WARN_UNUSED;

#endif
