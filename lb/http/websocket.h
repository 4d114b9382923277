/* websocket.h - the part of WebSocket's handshake that HTTP/1 has and HTTP/2 has not (RFC 6455
 * section 4, RFC 8441 section 5): a key, and the proof that it was understood. Pure. */
#ifndef SLUICE_HTTP_WEBSOCKET_H
#define SLUICE_HTTP_WEBSOCKET_H

#include "lb/base/str.h"

#include <stdint.h>

#define WEBSOCKET_KEY_LEN    24
#define WEBSOCKET_ACCEPT_LEN 28

/* Sec-WebSocket-Key of 16 random bytes. */
void websocket_key(const uint8_t random[static 16], char out[static WEBSOCKET_KEY_LEN]);
/* Sec-WebSocket-Accept for a key, as it was sent. */
void websocket_accept(struct str key, char out[static WEBSOCKET_ACCEPT_LEN]);

#endif
