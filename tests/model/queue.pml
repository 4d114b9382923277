/* queue.pml - places at a backend, and waiting for one (slot_take and slot_give in health/table.c,
 * lb/upstream/wait_queue.c, proxy_place_free in lb/proxy/proxy.c).
 *
 * A worker whose slot_take() fails puts its session in its own queue, counts it in pool->waiting,
 * and then tries once more. Whoever gives a place back looks at pool->waiting; when somebody waits,
 * it asks its own queue to try, or else wakes one worker that has waiters. A worker that was asked
 * tries for its waiters, one after the other, until one finds no place. A waiter may give up: its
 * client leaves, its time is over (here only at worker 1; where all may, nobody is stuck). A wake
 * that finds no waiter any more is handed on to another worker that has some.
 *
 * Checked: no more than MAX places are taken; every session gets its place in the end, i.e. nobody
 * waits while there is room and nobody is about to give (the run would end in an invalid state).
 *
 * Memory order: sequentially consistent, as in_flight and waiting are in the code.
 *
 * Must fail: -DNO_RETRY (counted, but not tried once more), -DCOUNT_LATE (tried, then counted),
 * -DGIVE_TELLS_FULL (the giver wakes only where the backend was full before: of two places given
 * back one after the other the second wakes nobody, although two wait), -DNO_HAND_ON (a wake that
 * finds its waiter gone is dropped, while others wait and there is room). */

#define WORKERS 3
#ifndef MAX
#define MAX 2 /* max_connections */
#endif
#define SESSIONS(w) (w == 0 -> 2 : 1) /* one more than there are places for, and one more */

byte in_flight = 0, waiting = 0;
byte queued[WORKERS]; /* its queue's length, read by others */
bool woken[WORKERS];  /* a wake is posted, or a task put off */

/* slot_take(): a compare-exchange. */
#define TAKE(ok)                                            \
    atomic {                                                \
        if                                                  \
        :: in_flight < MAX -> in_flight++; ok = true        \
        :: else -> ok = false                               \
        fi;                                                 \
        assert(in_flight <= MAX)                            \
    }

/* Wakes one other worker that has waiters. */
#define WAKE_ANOTHER(me)                                        \
    i = 1;                                                      \
    do                                                          \
    :: i < WORKERS ->                                           \
        if                                                      \
        :: queued[(me + i) % WORKERS] > 0 ->                    \
            woken[(me + i) % WORKERS] = true;                   \
            break                                               \
        :: else -> i++                                          \
        fi                                                      \
    :: else -> break                                            \
    od

inline give(me)
{
    atomic { was_full = in_flight >= MAX; in_flight-- };
    if
#ifdef GIVE_TELLS_FULL
    :: !was_full -> skip
    :: was_full && waiting == 0 -> skip
    :: was_full && waiting > 0 ->
#else
    :: waiting == 0 -> skip
    :: waiting > 0 ->
#endif
        if
        :: queued[me] > 0 -> woken[me] = true
        :: else -> WAKE_ANOTHER(me)
        fi
    fi
}

proctype worker(byte me)
{
    byte to_come = SESSIONS(me), held = 0, i;
    bool ok, was_full;

    do
    :: to_come > 0 -> /* a session comes; nobody overtakes those who wait */
        to_come--;
        if
        :: queued[me] == 0 -> TAKE(ok)
        :: else -> ok = false
        fi;
        if
        :: ok -> held++
        :: else ->
#ifdef COUNT_LATE
            woken[me] = false;
            TAKE(ok);
            if
            :: ok -> held++
            :: else -> queued[me]++; waiting++
            fi
#else
            queued[me]++;
            waiting++;
#ifndef NO_RETRY
            woken[me] = true /* it tries at the end of the turn */
#endif
#endif
        fi
    :: woken[me] ->
        woken[me] = false; /* before looking: a later wake counts anew */
        do
        :: queued[me] > 0 ->
            TAKE(ok);
            if
            :: ok -> queued[me]--; waiting--; held++
            :: else -> break
            fi
        :: else ->
#ifndef NO_HAND_ON
            if
            :: waiting > 0 -> WAKE_ANOTHER(me)
            :: else
            fi;
#endif
            break
        od
    :: me == 1 && queued[me] > 0 -> /* a waiter gives up */
        queued[me]--;
        waiting--
    :: held > 0 -> /* a session ends */
        held--;
        give(me)
    :: to_come == 0 && held == 0 && queued[me] == 0 && !woken[me] -> break
    od
}

init {
    byte n = 0;
    atomic {
        do
        :: n < WORKERS -> run worker(n); n++
        :: else -> break
        od
    };
    _nr_pr == 1;
    assert(in_flight == 0 && waiting == 0)
}
