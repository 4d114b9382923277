/* crypt_thread.c - see crypt_thread.h. Everything here is under one mutex but the hashing itself;
 * a job is posted with the mutex held, so that a loop cannot end between the look at `owner` and
 * the post: whoever detaches waits for it. */
#include "lb/filter/crypt_thread.h"

#include <crypt.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    struct list jobs; /* waiting */
    uint32_t n;
    bool started;
} queue = {.mutex = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

void crypt_job_free(struct crypt_job *job)
{
    explicit_bzero(job->password, sizeof(job->password));
    free(job);
}

static bool verify(const char *password, const char *hash)
{
    static struct crypt_data data; /* 32 KiB; this thread's only */
    const char *made = crypt_r(password, hash, &data);
    size_t len = strlen(hash);
    bool ok = made != NULL && strlen(made) == len && CRYPTO_memcmp(made, hash, len) == 0;

    explicit_bzero(&data, sizeof(data));
    return ok;
}

static void on_answer(struct loop_msg *msg, void *ctx)
{
    struct crypt_job *job = container_of(msg, struct crypt_job, msg);

    (void)ctx;
    if (job->owner != NULL)
        job->done(job);
    crypt_job_free(job);
}

static void answer(struct crypt_job *job, bool ok)
{
    if (job->owner == NULL) {
        crypt_job_free(job);
        return;
    }
    job->ok = ok;
    job->posted = true;
    job->msg.fn = on_answer;
    loop_post(job->loop, &job->msg);
}

static void take(struct crypt_job *job)
{
    list_remove(&job->node);
    queue.n--;
}

static void answer_equal(const uint8_t key[static 32], bool ok)
{
    struct list *node = queue.jobs.next;

    while (node != &queue.jobs) {
        struct crypt_job *job = container_of(node, struct crypt_job, node);
        node = node->next;
        if (memcmp(job->key, key, sizeof(job->key)) == 0) {
            take(job);
            answer(job, ok);
        }
    }
}

static void *run(void *arg)
{
    uint8_t key[32];

    (void)arg;
    pthread_setname_np(pthread_self(), "sluice-crypt");
    pthread_mutex_lock(&queue.mutex);
    for (;;) {
        while (queue.n == 0)
            pthread_cond_wait(&queue.wake, &queue.mutex);
        struct crypt_job *job = container_of(queue.jobs.next, struct crypt_job, node);
        take(job);
        pthread_mutex_unlock(&queue.mutex);
        bool ok = verify(job->password, job->hash);
        memcpy(key, job->key, sizeof(key));
        pthread_mutex_lock(&queue.mutex);
        answer(job, ok);
        answer_equal(key, ok);
    }
    return NULL;
}

static int start(void)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
    sigset_t all, before;
    pthread_t thread;

    list_init(&queue.jobs);
    sigfillset(&all);
    for (size_t i = 0; i < ARRAY_LEN(faults); i++)
        sigdelset(&all, faults[i]);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&thread, NULL, run, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0)
        return -rc;
    pthread_detach(thread);
    queue.started = true;
    return 0;
}

static bool has_room(uint64_t client)
{
    uint32_t n = 0;

    for (struct list *node = queue.jobs.next; node != &queue.jobs; node = node->next)
        n += container_of(node, struct crypt_job, node)->client == client;
    return queue.n < CRYPT_QUEUE_MAX && n < CRYPT_QUEUE_CLIENT_MAX;
}

int crypt_thread_submit(struct crypt_job *job)
{
    int rc = 0;

    pthread_mutex_lock(&queue.mutex);
    if (!queue.started)
        rc = start();
    if (rc == 0 && !has_room(job->client))
        rc = -EBUSY;
    if (rc == 0) {
        list_push_back(&queue.jobs, &job->node);
        queue.n++;
        pthread_cond_signal(&queue.wake);
    }
    pthread_mutex_unlock(&queue.mutex);
    return rc;
}

void crypt_job_detach(struct crypt_job *job)
{
    pthread_mutex_lock(&queue.mutex);
    bool waiting = !job->posted && list_linked(&job->node);
    job->owner = NULL;
    if (waiting)
        take(job);
    pthread_mutex_unlock(&queue.mutex);
    if (waiting)
        crypt_job_free(job);
}
