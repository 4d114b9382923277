/* fuzz_h2_guard.c - frames as the guard sees them. Two bytes before them: the side, and the size of
 * pieces. In pieces of any size it must say what it says of the whole; what it said once it says
 * for ever; and honest work in between never makes it stricter. */
#include "lb/http/h2_guard.h"

#include "lb/base/assert.h"

#include <stdlib.h>
#include <string.h>

#define START_MS 1000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void begin(struct h2_guard *g, bool of_backend)
{
    h2_guard_init(g, START_MS);
    if (!of_backend)
        return;
    g->of_backend = true;
    g->skip = 0; /* servers have no preface */
}

/* `piece` bytes at a time, each in memory of its own so that a read beyond it is seen. */
static enum h2_abuse in_pieces(struct h2_guard *g, const uint8_t *data, size_t size, size_t piece,
                               bool working)
{
    enum h2_abuse abuse = H2_FINE;

    for (size_t at = 0; at < size; at += piece) {
        size_t n = piece < size - at ? piece : size - at;
        uint8_t *copy = malloc(n);
        sl_assert(copy != NULL);
        memcpy(copy, data + at, n);
        enum h2_abuse now = h2_guard_scan(g, copy, n, START_MS);
        sl_assert(abuse == H2_FINE || now == abuse);
        abuse = now;
        free(copy);
        if (working) {
            h2_guard_sent_data(g, 16384);
            h2_guard_reset_was_due(g);
            h2_guard_request_done(g);
        }
    }
    return abuse;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct h2_guard whole, parts, busy;

    if (size < 3)
        return 0;
    bool of_backend = (data[0] & 1) != 0;
    size_t piece = 1 + data[1];
    begin(&whole, of_backend);
    begin(&parts, of_backend);
    begin(&busy, of_backend);
    enum h2_abuse said = in_pieces(&whole, data + 2, size - 2, size, false);
    sl_assert(in_pieces(&parts, data + 2, size - 2, piece, false) == said);
    if (said == H2_FINE) {
        sl_assert(in_pieces(&busy, data + 2, size - 2, piece, true) == H2_FINE);
        sl_assert(parts.skip == whole.skip && parts.have == whole.have);
        sl_assert(parts.last_stream == whole.last_stream);
        sl_assert(memcmp(parts.left, whole.left, sizeof(whole.left)) == 0);
    }
    return 0;
}
