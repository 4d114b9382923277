/* metrics_process.c - metrics of the process, its workers and their engines. */
#include "lb/admin/command.h"
#include "lb/admin/metrics_set.h"
#include "lb/base/log.h"
#include "lb/io/io.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

static uint64_t open_files(void)
{
    DIR *dir = opendir("/proc/self/fd");
    uint64_t n = 0;

    if (dir == NULL)
        return 0;
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n > 3 ? n - 3 : 0; /* "." and ".." and the folder itself */
}

/* Pages, of /proc/self/statm: in all, resident. */
static void memory_pages(uint64_t *out_virtual, uint64_t *out_resident)
{
    unsigned long virtual = 0, resident = 0;
    FILE *in = fopen("/proc/self/statm", "re");

    if (in != NULL && fscanf(in, "%lu %lu", &virtual, &resident) != 2)
        virtual = resident = 0;
    if (in != NULL)
        fclose(in);
    *out_virtual = virtual;
    *out_resident = resident;
}

static uint64_t cpu_us(const struct rusage *u)
{
    return (uint64_t)(u->ru_utime.tv_sec + u->ru_stime.tv_sec) * 1000000 +
           (uint64_t)(u->ru_utime.tv_usec + u->ru_stime.tv_usec);
}

/* The names that client libraries of Prometheus use. */
static void standard(struct metrics_text *m, const struct process_info *p)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), all, resident;
    struct rusage usage = {0};

    getrusage(RUSAGE_SELF, &usage);
    memory_pages(&all, &resident);
    metrics_family(m, "process_cpu_seconds", METRIC_COUNTER, "CPU time of user and system.");
    metrics_seconds(m, NULL, NULL, cpu_us(&usage));
    metrics_family(m, "process_resident_memory_bytes", METRIC_GAUGE, "Resident memory.");
    metrics_number(m, NULL, NULL, resident * page);
    metrics_family(m, "process_virtual_memory_bytes", METRIC_GAUGE, "Virtual memory.");
    metrics_number(m, NULL, NULL, all * page);
    metrics_family(m, "process_open_fds", METRIC_GAUGE, "Open file descriptors.");
    metrics_number(m, NULL, NULL, open_files());
    metrics_family(m, "process_max_fds", METRIC_GAUGE, "File descriptors that may be open.");
    metrics_number(m, NULL, NULL, p->max_fds);
    metrics_family(m, "process_start_time_seconds", METRIC_GAUGE, "Start, since 1970.");
    metrics_seconds(m, NULL, NULL, p->start_wall_us);
}

static void of_process(struct metrics_text *m, const struct command_env *env)
{
    static const char *const engines[] = {
        [IO_AUTO] = "auto", [IO_URING] = "io_uring", [IO_EPOLL] = "epoll", [IO_SIM] = "sim"};
    const struct admin_ops *ops = env->ops;
    struct metric_labels labels = {0};
    struct process_info p;

    ops->process_info(ops->ctx, &p);
    metric_labels_add(&labels, "version", p.version);
    metric_labels_add(&labels, "engine", engines[p.engine]);
    metrics_family(m, "sluice_build", METRIC_INFO, "What runs.");
    metrics_number(m, &labels, NULL, 1);
    metric_labels_fini(&labels);
    metrics_family(m, "sluice_ready", METRIC_GAUGE, "1 when ready to serve, as /readyz says.");
    metrics_number(m, NULL, NULL, ops->not_ready_reason(ops->ctx) == NULL);
    metrics_family(m, "sluice_draining", METRIC_GAUGE, "1 while draining.");
    metrics_number(m, NULL, NULL, p.stopping);
    metrics_family(m, "sluice_workers", METRIC_GAUGE, "Worker threads.");
    metrics_number(m, NULL, NULL, p.workers);
    metrics_family(m, "sluice_connections_limit", METRIC_GAUGE, "Connections at most.");
    metrics_number(m, NULL, NULL, p.max_connections);
    metrics_family(m, "sluice_log_lines_dropped", METRIC_COUNTER,
                   "Log lines that could not be written in time.");
    metrics_number(m, NULL, NULL, log_dropped());
    standard(m, &p);
}

struct row_metric {
    const char *name;
    enum metric_type type;
    bool us; /* microseconds, shown as seconds */
    size_t offset;
    const char *help;
};

#define WORKER(field) offsetof(struct worker_counters, field)
static const struct row_metric of_workers[] = {
    {"sluice_worker_sessions", METRIC_COUNTER, false, WORKER(sessions), "Sessions taken."},
    {"sluice_worker_sessions_open", METRIC_GAUGE, false, WORKER(sessions_open), "Sessions now."},
    {"sluice_worker_memory_refused", METRIC_COUNTER, false, WORKER(memory_refused),
     "Sessions refused for want of memory."},
    {"sluice_worker_turns", METRIC_COUNTER, false, WORKER(turns), "Turns of the loop."},
    {"sluice_worker_busy_seconds", METRIC_COUNTER, true, WORKER(busy_us), "Time at work."},
    {"sluice_worker_idle_seconds", METRIC_COUNTER, true, WORKER(idle_us), "Time waiting."},
};

#define ENGINE(field) offsetof(struct io_stats, field)
static const struct row_metric of_engines[] = {
    {"sluice_engine_syscalls", METRIC_COUNTER, false, ENGINE(syscalls), "System calls."},
    {"sluice_engine_completions", METRIC_COUNTER, false, ENGINE(completions),
     "Completions handled."},
    {"sluice_engine_batch_max", METRIC_GAUGE, false, ENGINE(batch_max),
     "Most completions of one turn."},
    {"sluice_engine_receives", METRIC_COUNTER, false, ENGINE(recvs), "Receives."},
    {"sluice_engine_sends", METRIC_COUNTER, false, ENGINE(sends), "Sends."},
    {"sluice_engine_sends_blocked", METRIC_COUNTER, false, ENGINE(sends_blocked),
     "Sends that had to wait for room."},
    {"sluice_engine_accepts", METRIC_COUNTER, false, ENGINE(accepts), "Connections accepted."},
    {"sluice_engine_connects", METRIC_COUNTER, false, ENGINE(connects), "Connects begun."},
    {"sluice_engine_buffer_waits", METRIC_COUNTER, false, ENGINE(no_buffers),
     "Receives that had to wait for a buffer."},
    {"sluice_engine_completion_overflows", METRIC_COUNTER, false, ENGINE(cq_overflows),
     "Times that the completion queue ran over."},
    {"sluice_engine_spliced_bytes", METRIC_COUNTER, false, ENGINE(bytes_spliced),
     "Bytes moved by splice."},
    {"sluice_engine_buffers", METRIC_GAUGE, false, ENGINE(bufs_total), "Receive buffers made."},
    {"sluice_engine_buffers_used", METRIC_GAUGE, false, ENGINE(bufs_used),
     "Receive buffers in use."},
    {"sluice_engine_pipes", METRIC_GAUGE, false, ENGINE(pipes_open), "Splice pipes open."},
    {"sluice_engine_pipes_used", METRIC_GAUGE, false, ENGINE(pipes_used), "Splice pipes in use."},
};

static void by_worker(struct metrics_text *m, const struct row_metric *rows, size_t n,
                      const void *(*row_of)(const struct admin_ops *ops, uint32_t worker),
                      const struct admin_ops *ops)
{
    for (size_t i = 0; i < n; i++) {
        metrics_family(m, rows[i].name, rows[i].type, rows[i].help);
        for (uint32_t w = 0; w < ops->n_workers; w++) {
            const counter *c =
                (const counter *)(const void *)((const char *)row_of(ops, w) + rows[i].offset);
            char worker[32];
            snprintf(worker, sizeof(worker), "worker=\"%u\"", w + 1);
            if (rows[i].us)
                metrics_seconds(m, NULL, worker, counter_get(c));
            else
                metrics_number(m, NULL, worker, counter_get(c));
        }
    }
}

static const void *worker_row(const struct admin_ops *ops, uint32_t worker)
{
    return &ops->workers[worker];
}

static const void *engine_row(const struct admin_ops *ops, uint32_t worker)
{
    return ops->engines[worker];
}

void metrics_process(struct metrics_text *m, const struct command_env *env)
{
    of_process(m, env);
    by_worker(m, of_workers, ARRAY_LEN(of_workers), worker_row, env->ops);
    by_worker(m, of_engines, ARRAY_LEN(of_engines), engine_row, env->ops);
}
