/* file_reply.h - the response to a request for a file that is there: status, fields, and which
 * bytes are its payload (RFC 9110 sections 13 and 14). Pure. */
#ifndef SLUICE_FILES_FILE_REPLY_H
#define SLUICE_FILES_FILE_REPLY_H

#include "lb/http/coding.h"
#include "lb/http/range.h"

#include <stdbool.h>

struct arena;
struct file;
struct file_type;
struct http_head;

struct file_reply {
    uint16_t status; /* 200, 206, 304; 412 and 416: an error page with `range` */
    uint64_t length; /* bytes of payload; of 304 none */
    uint64_t size;   /* of the file */
    const char *type;
    struct range_part parts[RANGE_PARTS_MAX];
    uint32_t n_parts;  /* several: multipart/byteranges */
    uint64_t boundary; /* of the parts */
};

#define FILE_ETAG_MAX 64
/* The entity tag of a file as it is now, with its quotes; returns the length. */
size_t file_etag(const struct file *file, enum http_coding coding, char out[static FILE_ETAG_MAX]);

/* Decides, and appends the fields to response (all but Date and framing). varies: what is sent
 * depends on Accept-Encoding. random: for the boundary. False: no memory. */
bool file_reply_make(struct file_reply *reply, const struct http_head *request,
                     const struct file *file, const struct file_type *type, enum http_coding coding,
                     bool varies, uint64_t now_s, uint64_t random, struct http_head *response,
                     struct arena *arena);

#define FILE_PART_HEAD_MAX 320
/* What goes before part i of several (i == n_parts: behind the last one). Returns the length. */
size_t file_reply_part_head(const struct file_reply *reply, uint32_t i,
                            char out[static FILE_PART_HEAD_MAX]);

#endif
