/* sim_h2.h - a far end that speaks HTTP/2, for tests: nghttp2 between the test and a connection.
 * What the near end sends against the protocol, as nghttp2 sees it, fails the test. */
#ifndef SLUICE_TESTS_SIM_SIM_H2_H
#define SLUICE_TESTS_SIM_SIM_H2_H

#include "tests/sim/sim_tls.h"

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stdint.h>

struct sim_h2 {
    struct far far;
    nghttp2_session *ng;
    bool misbehaves; /* what the near end says of that is no fault of its */
    bool goaway_came;
    int32_t goaway_last;
    uint32_t goaway_code;
};

/* Callbacks for nghttp2_session_*_new() with those of the test still to be set; the test's
 * user_data begins with a struct sim_h2, and its on_frame_recv calls sim_h2_frame(). */
nghttp2_session_callbacks *sim_h2_callbacks(void);
void sim_h2_frame(struct sim_h2 *h, const nghttp2_frame *frame);
/* Sends what there is to send. */
void sim_h2_pump(struct sim_h2 *h);
/* Reads all there is. 1: more may come; 0: the end; -1: the connection is lost. */
int sim_h2_read(struct sim_h2 *h);
/* Said all and heard all, as GOAWAY has it. */
bool sim_h2_over(const struct sim_h2 *h);
void sim_h2_fini(struct sim_h2 *h);

nghttp2_nv sim_h2_nv(const char *name, const char *value); /* of strings that are copied */
bool sim_h2_is(const uint8_t *bytes, size_t n, const char *text);

#endif
