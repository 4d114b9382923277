/* access_log.c - the words and codes for the ends of sessions; see access_log.h */
#include "lb/obs/access_log.h"

static const struct {
    const char code[3]; /* HAProxy's: who or what ended it, in which phase */
    const char *text;
} ends[] = {
    [END_NORMAL] = {"--", "both sides finished"},
    [END_CLIENT_ABORT] = {"CD", "client reset the connection"},
    [END_SERVER_ABORT] = {"SD", "backend reset the connection"},
    [END_CLIENT_TIMEOUT] = {"cD", "idle too long, waiting for the client"},
    [END_SERVER_TIMEOUT] = {"sD", "idle too long, waiting for the backend"},
    [END_CONNECT_FAILED] = {"SC", "no backend could be reached"},
    [END_CONNECT_TIMEOUT] = {"sC", "connecting to the backend took too long"},
    [END_NO_BACKEND] = {"SC", "no backend is usable"},
    [END_QUEUE_TIMEOUT] = {"sQ", "waited too long in the queue"},
    [END_QUEUE_FULL] = {"SQ", "the queue is full"},
    [END_CLIENT_GONE] = {"CC", "client left before a backend was reached"},
    [END_BAD_PROXY_HEADER] = {"PR", "malformed PROXY header"},
    [END_PROXY_TIMEOUT] = {"cR", "no PROXY header in time"},
    [END_LIMIT] = {"PR", "refused by a limit"},
    [END_KILLED] = {"KD", "ended by the operator"},
    [END_DOWN] = {"DD", "its backend went down"},
    [END_DRAIN] = {"KD", "cut at the drain deadline"},
    [END_RESOURCE] = {"RC", "out of descriptors or memory"},
    [END_HEAD_TIMEOUT] = {"cR", "the request's head did not come in time"},
    [END_CLIENT_LEFT_HEAD] = {"CR", "client left before its request was complete"},
    [END_BAD_REQUEST] = {"PR", "malformed request"},
    [END_TOO_LARGE] = {"PR", "the request's body is too large"},
    [END_DENIED] = {"PR", "refused by a filter"},
    [END_LOCAL] = {"LR", "answered by sluice"},
    [END_BODY_TIMEOUT] = {"cH", "the request's body stopped coming"},
    [END_RESPONSE_TIMEOUT] = {"sH", "the response did not come in time"},
    [END_SERVER_CLOSED] = {"SH", "backend closed the connection before it answered"},
    [END_BAD_RESPONSE] = {"PH", "malformed response"},
    [END_CLIENT_LEFT_WAIT] = {"CH", "client left while its response was waited for"},
    [END_BAD_BODY] = {"PD", "malformed chunks"},
    [END_CLIENT_LEFT_QUEUE] = {"CQ", "client left while it was queued"},
    [END_INTERNAL] = {"IH", "internal error"},
    [END_TLS_FAILED] = {"PR", "the TLS handshake with the client failed"},
    [END_TLS_TIMEOUT] = {"cR", "no TLS handshake in time"},
    [END_BAD_HELLO] = {"PR", "no usable ClientHello"},
    [END_NO_NAME] = {"PR", "no pool has the server name"},
};

static_assert(ARRAY_LEN(ends) == N_SESSION_ENDS, "each end has its code and words");

const char *session_end_code(enum session_end e)
{
    sl_assert((size_t)e < ARRAY_LEN(ends));
    return ends[e].code;
}

const char *session_end_text(enum session_end e)
{
    sl_assert((size_t)e < ARRAY_LEN(ends));
    return ends[e].text;
}
