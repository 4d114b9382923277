/* tls_replay.c - which tickets early data has come with, so that none is taken twice: a register
 * for the whole process (a client may come back to another worker).
 *
 * OpenSSL takes early data only if the client's idea of the ticket's age differs from ours by 10
 * seconds at most, so a copy is of use for twice as long; what is older is forgotten by halves. The
 * register is bounded, and when it is full early data is declined, which costs the client a round
 * trip and no more. Instances that share ticket keys know nothing of each other's: what remains is
 * why only safe methods are taken (RFC 8470). */
#include "lb/net/tls_priv.h"

#include <pthread.h>
#include <string.h>

#define WINDOW_S  21   /* as long as a copy may be taken */
#define SLOTS     8192 /* of one half; power of two */
#define TAKEN_MAX (SLOTS / 4 * 3)

struct half {
    int64_t begin_s;
    uint32_t n;
    uint64_t tickets[SLOTS]; /* open addressing; 0: free */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct half halves[2]; /* the first is the younger one */

static uint64_t *slot_of(struct half *h, uint64_t ticket)
{
    uint32_t i = (uint32_t)ticket & (SLOTS - 1);

    while (h->tickets[i] != 0 && h->tickets[i] != ticket)
        i = (i + 1) & (SLOTS - 1);
    return &h->tickets[i];
}

static void forget(int64_t now_s)
{
    if (now_s - halves[0].begin_s < WINDOW_S && now_s >= halves[0].begin_s)
        return;
    if (now_s - halves[0].begin_s < 2 * WINDOW_S)
        halves[1] = halves[0];
    else
        memset(&halves[1], 0, sizeof(halves[1]));
    memset(&halves[0], 0, sizeof(halves[0]));
    halves[0].begin_s = now_s;
}

bool tls_replay_first(uint64_t ticket, int64_t now_s)
{
    bool first = false;

    ticket += ticket == 0;
    pthread_mutex_lock(&lock);
    forget(now_s);
    uint64_t *slot = slot_of(&halves[0], ticket);
    if (*slot == 0 && *slot_of(&halves[1], ticket) == 0 && halves[0].n < TAKEN_MAX) {
        *slot = ticket;
        halves[0].n++;
        first = true;
    }
    pthread_mutex_unlock(&lock);
    return first;
}
