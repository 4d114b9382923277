/* h2_guard.c - see h2_guard.h */
#include "lb/http/h2_guard.h"

#include "lb/base/assert.h"

/* What may be spent at once, and what comes back in a second. Honest clients stay far below: a
 * browser that leaves a page resets the hundred streams it has; a client that measures the way
 * pings about once for each round trip with payload (that is what sent and received payload gives
 * back); one that reads bit by bit opens its windows a few times for each frame. */
static const struct {
    int32_t most, per_second;
    const char *code;
} budgets[H2_ABUSES] = {
    [H2_RESETS] = {200, 20, "h2-rapid-reset"},
    [H2_SETTINGS] = {20, 1, "h2-settings-flood"},
    [H2_PINGS] = {200, 20, "h2-ping-flood"},
    [H2_PRIORITY] = {200, 10, "h2-priority-flood"},
    [H2_WINDOWS] = {2000, 100, "h2-window-flood"},
    [H2_EMPTY] = {100, 10, "h2-empty-frames"},
    [H2_TINY] = {1000, 20, "h2-tiny-windows"},
    [H2_BAD_HEADS] = {100, 5, "h2-bad-heads"},
    [H2_LATE_HEADS] = {200, 20, "h2-late-heads"},
    [H2_CONTINUATIONS] = {0, 0, "h2-continuation-flood"},
    [H2_HEAD_BOMB] = {0, 0, "h2-head-bomb"},
    [H2_BROKEN_RULE] = {0, 0, "h2-protocol-error"},
};
#define BLOCK_FRAMES_MAX                                                                           \
    8 /* HEADERS and CONTINUATION of one head; newer libraries take no more                        \
       */
#define BLOCK_BYTES_MAX   (128u << 10) /* of them, compressed: twice the largest head */
#define HEAD_TIMES_MAX    4            /* decoded bytes of a head, as multiple of its limit */
#define WINDOWS_PER_DATA  4            /* that one sent frame of payload gives back... */
#define WINDOWS_PER_KIB   2 /* ... and more where it is large: some open both with every read */
#define FILL_EVERY_MS     100
#define PREFACE_BYTES     24
#define PADDING_FRAME_MAX 256

enum frame {
    DATA = 0,
    HEADERS = 1,
    PRIORITY = 2,
    RST_STREAM = 3,
    SETTINGS = 4,
    PUSH_PROMISE = 5,
    PING = 6,
    GOAWAY = 7,
    WINDOW_UPDATE = 8,
    CONTINUATION = 9,
    PRIORITY_UPDATE = 16,
};
#define END_STREAM  0x1
#define END_HEADERS 0x4
#define PADDED      0x8

const char *h2_abuse_code(enum h2_abuse a)
{
    return a < H2_ABUSES ? budgets[a].code : "h2-fine";
}

void h2_guard_init(struct h2_guard *g, uint64_t now_ms)
{
    *g = (struct h2_guard){
        .now_ms = now_ms, .filled_ms = now_ms, .skip = PREFACE_BYTES, .abuse = H2_FINE};
    for (int i = 0; i < H2_BUDGETS; i++)
        g->left[i] = budgets[i].most;
}

uint32_t h2_guard_head_max(uint32_t limit)
{
    return limit < UINT32_MAX / HEAD_TIMES_MAX ? limit * HEAD_TIMES_MAX : UINT32_MAX;
}

/* ---- budgets ---- */

static void give_back(struct h2_guard *g, enum h2_abuse kind, int64_t n)
{
    int64_t left = g->left[kind] + n;

    g->left[kind] = left < budgets[kind].most ? (int32_t)left : budgets[kind].most;
}

static void fill(struct h2_guard *g, uint64_t now_ms)
{
    uint64_t passed = now_ms - g->filled_ms;

    g->now_ms = now_ms;
    if (passed < FILL_EVERY_MS)
        return;
    /* By absolute times, so that fractions are not lost with every look. */
    for (int i = 0; i < H2_BUDGETS; i++) {
        int64_t n = (int64_t)(now_ms * (uint64_t)budgets[i].per_second / 1000) -
                    (int64_t)(g->filled_ms * (uint64_t)budgets[i].per_second / 1000);
        give_back(g, (enum h2_abuse)i, n);
    }
    g->filled_ms = now_ms;
}

void h2_guard_trip(struct h2_guard *g, enum h2_abuse kind)
{
    if (g->abuse == H2_FINE)
        g->abuse = (uint8_t)kind;
}

enum h2_abuse h2_guard_spend(struct h2_guard *g, enum h2_abuse kind)
{
    sl_assert(kind < H2_BUDGETS);
    if (--g->left[kind] < 0) {
        g->left[kind] = 0;
        h2_guard_trip(g, kind);
    }
    return (enum h2_abuse)g->abuse;
}

void h2_guard_sent_data(struct h2_guard *g, size_t n)
{
    give_back(g, H2_WINDOWS, WINDOWS_PER_DATA + (int64_t)(n / 1024) * WINDOWS_PER_KIB);
    give_back(g, H2_PINGS, 1);
}

/* Calls with streamed answers have no other end: who watches something leaves when he has seen
 * enough. He has waited for us, so he is no faster than who lets us finish. */
void h2_guard_reset_was_due(struct h2_guard *g)
{
    give_back(g, H2_RESETS, 1);
}

void h2_guard_request_done(struct h2_guard *g)
{
    give_back(g, H2_RESETS, 1);
    give_back(g, H2_PRIORITY, 1);
    give_back(g, H2_PINGS, 1);
    give_back(g, H2_WINDOWS, 2);
    give_back(g, H2_LATE_HEADS, 1); /* its trailers */
}

/* ---- frames ---- */

static void head_piece(struct h2_guard *g, uint32_t len, uint8_t flags, bool first)
{
    if (first)
        g->block_frames = g->block_bytes = 0;
    g->block_frames++;
    g->block_bytes += len;
    if (g->block_frames > BLOCK_FRAMES_MAX || g->block_bytes > BLOCK_BYTES_MAX)
        h2_guard_trip(g, H2_CONTINUATIONS);
    if (flags & END_HEADERS)
        g->block_frames = g->block_bytes = 0;
}

/* The library unpacks them whatever becomes of their stream. A stream that was left out is closed
 * (RFC 9113 section 5.1.1); of gaps the last one is remembered. */
static void late_head(struct h2_guard *g, uint32_t stream)
{
    if (g->of_backend)
        return;
    if (stream > g->last_stream) {
        g->left_out = g->last_stream + 1;
        g->last_stream = stream;
    } else if (stream >= g->left_out && stream < g->last_stream) {
        h2_guard_trip(g, H2_BROKEN_RULE);
    } else {
        h2_guard_spend(g, H2_LATE_HEADS);
    }
}

/* RFC 9113 section 6.3. The library passes over them, as nobody heeds them. */
static void priority(struct h2_guard *g, uint32_t stream, uint32_t len)
{
    h2_guard_spend(g, H2_PRIORITY);
    if (!g->of_backend && (stream == 0 || len != 5))
        h2_guard_trip(g, H2_BROKEN_RULE);
}

static void frame(struct h2_guard *g)
{
    const uint8_t *p = g->head;
    uint32_t len = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
    uint32_t stream =
        (uint32_t)(p[5] & 0x7f) << 24 | (uint32_t)p[6] << 16 | (uint32_t)p[7] << 8 | p[8];
    uint8_t type = p[3], flags = p[4];

    g->skip = len;
    switch ((enum frame)type) {
    case DATA:
        if ((len == 0 && (flags & END_STREAM) == 0) ||
            ((flags & PADDED) != 0 && len <= PADDING_FRAME_MAX))
            h2_guard_spend(g, H2_EMPTY);
        else
            give_back(g, H2_PINGS, 1);
        return;
    case HEADERS:
        late_head(g, stream);
        head_piece(g, len, flags, true);
        return;
    case CONTINUATION:
        head_piece(g, len, flags, false);
        return;
    case PRIORITY:
        priority(g, stream, len);
        return;
    case PRIORITY_UPDATE:
        h2_guard_spend(g, H2_PRIORITY);
        return;
    case RST_STREAM:
        h2_guard_spend(g, H2_RESETS);
        return;
    case SETTINGS:
    case GOAWAY:
    case PUSH_PROMISE:
        h2_guard_spend(g, H2_SETTINGS);
        return;
    case PING:
        h2_guard_spend(g, H2_PINGS);
        return;
    case WINDOW_UPDATE:
        h2_guard_spend(g, H2_WINDOWS);
        return;
    }
    h2_guard_spend(g, H2_EMPTY);
}

enum h2_abuse h2_guard_scan(struct h2_guard *g, const uint8_t *data, size_t len, uint64_t now_ms)
{
    if (now_ms != g->now_ms)
        fill(g, now_ms);
    while (len > 0 && g->abuse == H2_FINE) {
        if (g->skip > 0) {
            size_t n = g->skip < len ? g->skip : len;
            g->skip -= (uint32_t)n;
            data += n;
            len -= n;
            continue;
        }
        g->head[g->have++] = *data++;
        len--;
        if (g->have == sizeof(g->head)) {
            g->have = 0;
            frame(g);
        }
    }
    return (enum h2_abuse)g->abuse;
}
