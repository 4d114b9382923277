/* h2_window.h - how large the receive window of a stream of HTTP/2 is. It begins small and grows
 * where it is what holds the sender up: when all of it comes within about a round trip, and its
 * reader takes it as fast. So an upload over 100 ms gets what the line can carry, and one whose
 * receiver is slow costs no more than before. What windows have grown by is taken from a budget of
 * the thread's, as all of it might have to be kept when their readers stop. Pure. */
#ifndef SLUICE_HTTP_H2_WINDOW_H
#define SLUICE_HTTP_H2_WINDOW_H

#include <stdint.h>

struct h2_window {
    uint32_t size, base; /* bytes */
    uint32_t taken;      /* of the present round, which ends when a window's worth was */
    uint64_t since_us;   /* the round's begin */
};

void h2_window_init(struct h2_window *w, uint32_t base, uint64_t now_us);
/* n bytes were received and taken by their reader. rtt_us: of the connection, 0: not known. The
 * bytes that it has grown by, taken from *budget; 0: none. */
uint32_t h2_window_taken(struct h2_window *w, uint64_t *budget, uint32_t n, uint64_t now_us,
                         uint64_t rtt_us);
/* Back to its base; the bytes that it had grown by, given to *budget. */
uint32_t h2_window_shrink(struct h2_window *w, uint64_t *budget);

#endif
