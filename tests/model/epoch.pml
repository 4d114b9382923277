/* epoch.pml - publication and reclamation (lb/base/epoch.c; backend addresses, pool views).
 *
 * A writer swaps a shared pointer and retires the old object with the present epoch as its tag; it
 * frees an object when every reader is offline or announces a later epoch. Readers enter, load the
 * pointer, use it, leave (offline) or enter anew without leaving.
 * Checked: no reader ever uses a freed object; and, at the end, everything retired can be freed.
 *
 * Memory order: sequentially consistent, which is what the fences R2 and W3 of epoch.c give at the
 * places that matter.
 *
 * Must fail: -DNO_FENCE (the announcement becomes visible later than the load of the pointer after
 * it, as on any machine without R2), -DNO_WAIT (freed without a look at the readers),
 * -DLATE_UNPUBLISH (retired while it can still be found), -DSAME_EPOCH (an announcement equal to
 * the tag taken for a later one). */

#define READERS 2
#define OBJECTS 3 /* the first one and two swaps */
#define ROUNDS  2 /* of each reader */
#define NONE    255

byte shared = 0;      /* the published object */
byte epoch = 1;
byte seen[READERS];   /* 0: offline */
bool freed[OBJECTS];
byte tag[OBJECTS];    /* 0: not retired */
byte done = 0;        /* readers that have ended */

inline announce(me)
{
    /* The epoch is read first, stored later: it may have advanced in between. */
    now_epoch = epoch;
#ifndef NO_FENCE
    seen[me] = now_epoch
#else
    skip /* sits in a store buffer */
#endif
}

inline announcement_arrives(me)
{
#ifdef NO_FENCE
    seen[me] = now_epoch
#else
    skip
#endif
}

proctype reader(byte me)
{
    byte now_epoch, held, round = 0;

    do
    :: round < ROUNDS ->
        announce(me);
        held = shared;
        announcement_arrives(me);
        assert(!freed[held]); /* first use */
        assert(!freed[held]); /* and a later one, still within the turn */
        held = NONE;
        round++;
        if
        :: seen[me] = 0 /* leaves: it waits in the kernel */
        :: skip         /* enters anew, busy */
        fi
    :: else -> break
    od;
    seen[me] = 0;
    done++
}

/* Frees what no reader can hold: walks the readers one by one, as they move on meanwhile. */
inline collect()
{
    oldest = NONE;
    r = 0;
#ifndef NO_WAIT
    do
    :: r < READERS ->
        s = seen[r];
        if
        :: s != 0 && s < oldest -> oldest = s
        :: else
        fi;
        r++
    :: else -> break
    od;
#endif
    o = 0;
    do
    :: o < OBJECTS ->
        if
#ifdef SAME_EPOCH
        :: tag[o] != 0 && !freed[o] && tag[o] <= oldest -> freed[o] = true
#else
        :: tag[o] != 0 && !freed[o] && tag[o] < oldest -> freed[o] = true
#endif
        :: else
        fi;
        o++
    :: else -> break
    od
}

proctype writer()
{
    byte next = 1, old, oldest, r, s, o;

    do
    :: next < OBJECTS ->
#ifdef LATE_UNPUBLISH
        old = shared;
        atomic { tag[old] = epoch; epoch++ };
        shared = next;
#else
        atomic { old = shared; shared = next };    /* an exchange */
        atomic { tag[old] = epoch; epoch++ };      /* a fetch_add */
#endif
        next++;
        collect()
    :: else -> break
    od;
    done == READERS;
    collect();
    assert(freed[0] && freed[1] && !freed[2]) /* nothing leaks */
}

init {
    atomic {
        run reader(0);
        run reader(1);
        run writer()
    }
}
