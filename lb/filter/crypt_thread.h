/* crypt_thread.h - verifies passwords on a thread of its own: a hash made to be slow takes up to a
 * tenth of a second, which no worker has. One thread per process, started by the first job, so
 * guessing costs one core at most. Its queue is bounded, for each client too.
 *
 * A job is heap memory. Until crypt_job_detach() its answer comes as a message to its loop; the
 * loop must run as long as jobs of its own are not detached. */
#ifndef SLUICE_FILTER_CRYPT_THREAD_H
#define SLUICE_FILTER_CRYPT_THREAD_H

#include "lb/base/list.h"
#include "lb/filter/basic_auth_priv.h"
#include "lb/io/loop.h"

#define CRYPT_QUEUE_MAX        64 /* jobs: some seconds */
#define CRYPT_QUEUE_CLIENT_MAX 8  /* of them for one client */

struct crypt_job {
    struct loop_msg msg;
    struct list node;
    struct loop *loop;
    void *owner;                         /* NULL: detached */
    uint64_t client;                     /* a hash: who asks */
    uint8_t key[32];                     /* equal keys have equal answers: they are verified once */
    bool posted;                         /* the loop has it, or will */
    bool ok;                             /* the answer */
    void (*done)(struct crypt_job *job); /* on the loop, unless detached; job is freed after it */
    char password[BASIC_AUTH_CREDENTIALS_MAX + 1];
    char hash[BASIC_AUTH_HASH_MAX];
};

/* Takes the job, or returns -EBUSY (the queue is full) or -errno of a thread that did not start:
 * the job is still the caller's. */
int crypt_thread_submit(struct crypt_job *job) WARN_UNUSED;
/* From the job's loop: nobody waits for it any more. The job frees itself. */
void crypt_job_detach(struct crypt_job *job);
void crypt_job_free(struct crypt_job *job); /* one that was not taken */

#endif
