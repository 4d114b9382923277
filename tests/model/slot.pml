/* slot.pml - the packed word of a slot, and its reuse (health/table.c).
 *
 * The word is changed by compare-exchange only: the health thread writes the operational state and,
 * in changes of its own, the ejection, the control thread the admin bits, and control gives a removed slot to another backend with the next
 * generation. Checked: no change is lost; a handle (index, generation) of the removed backend is
 * told from one of the new; and the slot is not given away while a session counts on it: what it
 * gives back is its own backend's count.
 *
 * Memory order: sequentially consistent. The word is one atomic object, so there is no order among
 * several to get wrong; the compare-exchanges are acquire-release, in_flight is sequentially
 * consistent in the code as well.
 *
 * Must fail: -DNO_CAS (load, change, store), -DNO_GENERATION (reuse with the same generation),
 * -DNO_COUNT (reuse without a look at in_flight). */

#define CHANGES 2

/* The word, as its parts; compared and exchanged as a whole. */
byte oper = 0, admin = 0, generation = 0;
bit ejected = 0;

byte in_flight = 0;    /* of the slot */
byte of_new = 0;       /* of these, the new backend's: known to the model only */
bool removed = false, reused = false;
byte epoch_passed = 0; /* the worker has entered anew since the removal */

#ifdef NO_CAS
#define EXCHANGE(o, e, a, g) { oper = o; ejected = e; admin = a; generation = g; ok = true }
#else
#define EXCHANGE(o, e, a, g)                                          \
    atomic {                                                          \
        if                                                            \
        :: oper == w_oper && ejected == w_ejected && admin == w_admin && \
           generation == w_gen ->                                     \
            oper = o; ejected = e; admin = a; generation = g; ok = true \
        :: else -> ok = false                                         \
        fi                                                            \
    }
#endif
#define LOAD atomic { w_oper = oper; w_ejected = ejected; w_admin = admin; w_gen = generation }

/* Sets the operational state to 1, 2, ... and ejects each other time: it must always find its own
 * last values. */
proctype health()
{
    byte w_oper, w_admin, w_gen, last = 0, n = 0;
    bit w_ejected, out = 0;
    bool ok;

    do
    :: n < CHANGES ->
        n++;
        do
        :: LOAD;
            if
            :: w_gen != 0 -> goto out_of_it /* another backend's by now */
            :: else
            fi;
            assert(w_oper == last && w_ejected == out);
            EXCHANGE(n, w_ejected, w_admin, w_gen);
            if
            :: ok -> last = n; break
            :: else
            fi
        od;
        do
        :: LOAD;
            if
            :: w_gen != 0 -> goto out_of_it
            :: else
            fi;
            assert(w_oper == last && w_ejected == out);
            EXCHANGE(w_oper, n % 2, w_admin, w_gen);
            if
            :: ok -> out = n % 2; break
            :: else
            fi
        od
    :: else -> break
    od;
out_of_it:
    skip
}

proctype control()
{
    byte w_oper, w_admin, w_gen, last = 0, n = 0;
    bit w_ejected;
    bool ok;

    do
    :: n < CHANGES ->
        n++;
        do
        :: LOAD;
            assert(w_admin == last);
            EXCHANGE(w_oper, w_ejected, n, w_gen);
            if
            :: ok -> last = n; break
            :: else
            fi
        od
    :: else -> break
    od;

    removed = true; /* nobody picks it from here on, but for those who did already */
    epoch_passed == 1;
#ifndef NO_COUNT
    in_flight == 0;
#endif
    do
    :: LOAD;
#ifdef NO_GENERATION
        EXCHANGE(0, 0, 0, w_gen);
#else
        EXCHANGE(0, 0, 0, w_gen + 1);
#endif
        if
        :: ok -> reused = true; break
        :: else
        fi
    od
}

/* Picks the slot in one turn and holds it over others; keeps a handle besides, as a sticky entry
 * would, and looks it up after the reuse. */
proctype worker()
{
    byte handle, count_of_new_before;
    bool took = false;

    if
    :: atomic { !removed -> handle = generation }; /* from the view */
        atomic { in_flight++ };
        took = true
    :: removed
    fi;
    epoch_passed = 1; /* the turn ends; the session goes on */
    if
    :: took ->
        /* Its place is given back to its own backend's count. */
        atomic { assert(!reused); in_flight-- };
        reused;
        assert(handle != generation) /* the stale handle is recognised */
    :: else
    fi
}

init {
    atomic {
        run health();
        run control();
        run worker()
    }
}
