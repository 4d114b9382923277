/* session_kind.h - what a client's connection is at the moment, for those who wait for its end. */
#ifndef SLUICE_OBS_SESSION_KIND_H
#define SLUICE_OBS_SESSION_KIND_H

enum session_kind {
    SESSION_TCP,       /* mode tcp: ends when its sides end it */
    SESSION_OPENING,   /* PROXY header, handshake, or a first request that is not complete */
    SESSION_HTTP_IDLE, /* between two requests */
    SESSION_HTTP,      /* a request is under way */
    SESSION_H2_IDLE,
    SESSION_H2,       /* streams are under way */
    SESSION_UPGRADED, /* a tunnel: a WebSocket, mostly */
    SESSION_CLOSING,  /* the last bytes */
    SESSION_KINDS
};

static inline const char *session_kind_name(enum session_kind kind)
{
    static const char *const names[SESSION_KINDS] = {"tcp",     "opening", "http_idle", "http",
                                                     "h2_idle", "h2",      "upgraded",  "closing"};
    return names[kind];
}

#endif
