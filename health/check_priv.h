/* check_priv.h - what check.c and check_handshake.c share; kinds see check.h only. */
#ifndef SLUICE_HEALTH_CHECK_PRIV_H
#define SLUICE_HEALTH_CHECK_PRIV_H

#include "health/check.h"

/* ---- check.c ---- */

void check_enter(struct check *ck, enum check_state next);
void check_finish(
    struct check *ck); /* it is decided: ends, at once or when what is armed is back */
void check_failed(struct check *ck, int error); /* says so in words, and ends */
void check_converse(struct check *ck);          /* the kind's own words begin */

/* ---- check_handshake.c ---- */

/* In words of its own, before the handshake; where connections are encrypted, as they are. */
bool check_handshake_is_asked_for(const struct check *ck);
void check_handshake_on_answer(struct check *ck); /* CHECK_ASKING */
void check_handshake_begin(struct check *ck);
void check_handshake_on_event(struct check *ck); /* CHECK_SECURING */
bool check_handshake_speaks_h2(const struct check *ck);

#endif
