/* take.h - what taking payload brought: from a client (front_ops) or a backend (wire_ops). */
#ifndef SLUICE_PROXY_TAKE_H
#define SLUICE_PROXY_TAKE_H

enum take {
    TAKE_MORE, /* more will come; the chain may be empty */
    TAKE_END,  /* that was the last */
    TAKE_BAD,  /* malformed: the reason says how */
    TAKE_LOST, /* the connection ended before the message did */
};

#endif
