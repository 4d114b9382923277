/* state_file.h - a file that is replaced as a whole: read at once, written by a thread of its own,
 * synced, then renamed, so that there is always one that is complete. */
#ifndef SLUICE_MAIN_STATE_FILE_H
#define SLUICE_MAIN_STATE_FILE_H

#include "lb/base/assert.h"

#include <stdbool.h>

#define STATE_PATH_MAX  4096
#define STATE_BYTES_MAX (64u << 20) /* a backend needs some 200 bytes, 1,300 at most */

struct state_file;
struct strbuf;

/* 0 or -errno; -EFBIG, -EINVAL: too large, no file. */
int state_file_read(const char *path, struct strbuf *out) WARN_UNUSED;

struct state_file *state_file_new(const char *path);
void state_file_free(struct state_file **f); /* idle */
/* Begins to; idle. Takes text over. */
void state_file_write(struct state_file *f, struct strbuf *text);
/* True: nothing is being written; *out_rc is how the last one ended, 0 or -errno. */
bool state_file_idle(struct state_file *f, int *out_rc);
int state_file_wait(struct state_file *f); /* until it is idle; the same */

#endif
