/* wire_file.h - the wire (wire.h) to a file: the exchange takes the response's payload out of it as
 * out of a backend's. The response's head is made by exchange_files.c, and a request is not sent.
 */
#ifndef SLUICE_PROXY_WIRE_FILE_H
#define SLUICE_PROXY_WIRE_FILE_H

#include "lb/proxy/wire.h"

struct file_reader; /* lb/files/file_reader.h */

struct wire_file {
    struct wire wire;
    struct file_reader *reader; /* its owner's: exchange_files.c */
};

void wire_file_open(struct wire_file *w, struct exchange *x, struct file_reader *reader);

#endif
