/* client_hello.h - ClientHellos for tests, put together from parts. */
#ifndef SLUICE_TESTS_SUPPORT_CLIENT_HELLO_H
#define SLUICE_TESTS_SUPPORT_CLIENT_HELLO_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct hello_bytes {
    uint8_t p[40000];
    size_t len;
};

static inline void hello_add(struct hello_bytes *b, const void *data, size_t len)
{
    if (len > sizeof(b->p) - b->len)
        abort();
    memcpy(b->p + b->len, data, len);
    b->len += len;
}

static inline void hello_u8(struct hello_bytes *b, size_t v)
{
    uint8_t byte = (uint8_t)v;

    hello_add(b, &byte, 1);
}

static inline void hello_u16(struct hello_bytes *b, size_t v)
{
    hello_u8(b, v >> 8);
    hello_u8(b, v);
}

static inline void hello_ext(struct hello_bytes *b, unsigned type, const void *data, size_t len)
{
    hello_u16(b, type);
    hello_u16(b, len);
    hello_add(b, data, len);
}

/* A server_name extension with one host name. */
static inline void hello_name(struct hello_bytes *b, const char *name)
{
    struct hello_bytes e = {.len = 0};

    hello_u16(&e, strlen(name) + 3);
    hello_u8(&e, 0);
    hello_u16(&e, strlen(name));
    hello_add(&e, name, strlen(name));
    hello_ext(b, 0, e.p, e.len);
}

/* The message, with its header, around these extensions (NULL: it has none). */
static inline void hello_message(struct hello_bytes *b, const struct hello_bytes *extensions)
{
    struct hello_bytes body = {.len = 0};

    hello_u16(&body, 0x0303);
    for (int i = 0; i < 32; i++)
        hello_u8(&body, (size_t)i);
    hello_u8(&body, 4);
    hello_add(&body, "sess", 4);
    hello_u16(&body, 4);
    hello_add(&body, "\x13\x01\x13\x02", 4);
    hello_u8(&body, 1);
    hello_u8(&body, 0);
    if (extensions != NULL) {
        hello_u16(&body, extensions->len);
        hello_add(&body, extensions->p, extensions->len);
    }
    hello_u8(b, 1);
    hello_u8(b, body.len >> 16);
    hello_u16(b, body.len);
    hello_add(b, body.p, body.len);
}

/* Handshake records of at most `each` bytes. */
static inline void hello_records(struct hello_bytes *out, const struct hello_bytes *message,
                                 size_t each)
{
    for (size_t at = 0; at < message->len; at += each) {
        size_t n = message->len - at < each ? message->len - at : each;
        hello_add(out, "\x16\x03\x01", 3);
        hello_u16(out, n);
        hello_add(out, message->p + at, n);
    }
}

#endif
