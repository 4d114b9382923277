/* limits_probe.c - see limits_probe.h
 *
 * A cgroup's files are found by /proc/self/cgroup (our path within each hierarchy) and
 * /proc/self/mountinfo (where that hierarchy is mounted, and which part of it). In a container
 * without its own cgroup namespace the path starts with the mount's root; else it is relative to
 * it. */
#include "lb/main/limits_probe.h"

#include "lb/base/str.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* Kernel memory of a proxied connection: two sockets with small queues and their file objects. */
#define CONNECTION_BYTES (32u << 10)
/* What the process needs before its first connection. */
#define PROCESS_BYTES    (32u << 20)
/* v1 writes "no limit" as a huge number. */
#define MEMORY_UNLIMITED (1ULL << 60)

enum controller { CPU_V1, MEMORY_V1, UNIFIED };

struct mount {
    char root[PATH_MAX], point[PATH_MAX];
};

/* First line of a small file, without its newline; false when it cannot be read. */
static bool read_line(const char *path, char *out, size_t size)
{
    FILE *f = fopen(path, "re");
    bool ok = f != NULL && fgets(out, (int)size, f) != NULL;

    if (f != NULL)
        fclose(f);
    if (ok)
        out[strcspn(out, "\n")] = '\0';
    return ok;
}

static bool has_word(const char *list, const char *word)
{
    size_t len = strlen(word);

    for (const char *p = list; *p != '\0'; p += strcspn(p, ","), p += *p == ',')
        if (strncmp(p, word, len) == 0 && (p[len] == ',' || p[len] == '\0'))
            return true;
    return false;
}

/* Our path in the hierarchy, from lines like `4:cpu,cpuacct:/a` and `0::/a`. */
static bool find_path(const char *root, enum controller want, char out[static PATH_MAX])
{
    static const char *const names[] = {[CPU_V1] = "cpu", [MEMORY_V1] = "memory"};
    char file[PATH_MAX], line[PATH_MAX + 128];
    bool found = false;

    snprintf(file, sizeof(file), "%s/proc/self/cgroup", root);
    FILE *f = fopen(file, "re");
    while (f != NULL && !found && fgets(line, sizeof(line), f) != NULL) {
        char *controllers = strchr(line, ':');
        char *path = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        if (path == NULL)
            continue;
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        found = want == UNIFIED ? controllers[1] == '\0' : has_word(controllers + 1, names[want]);
        if (found)
            snprintf(out, PATH_MAX, "%.*s", PATH_MAX - 1, path);
    }
    if (f != NULL)
        fclose(f);
    return found;
}

/* Where the hierarchy is mounted: `36 35 0:30 ROOT POINT opts ... - TYPE source superopts`. */
static bool find_mount(const char *root, enum controller want, struct mount *out)
{
    char file[PATH_MAX], line[3 * PATH_MAX];
    bool found = false;

    snprintf(file, sizeof(file), "%s/proc/self/mountinfo", root);
    FILE *f = fopen(file, "re");
    while (f != NULL && !found && fgets(line, sizeof(line), f) != NULL) {
        char type[32], options[512];
        char *tail = strstr(line, " - ");
        if (tail == NULL || sscanf(tail + 3, "%31s %*s %511s", type, options) != 2)
            continue;
        if (want == UNIFIED ? strcmp(type, "cgroup2") != 0 : strcmp(type, "cgroup") != 0)
            continue;
        if (want != UNIFIED && !has_word(options, want == CPU_V1 ? "cpu" : "memory"))
            continue;
        *tail = '\0';
        found = sscanf(line, "%*s %*s %*s %4095s %4095s", out->root, out->point) == 2;
    }
    if (f != NULL)
        fclose(f);
    return found;
}

/* The folder of our own cgroup, and the length of its part that is the mount point. */
static bool find_folder(const char *root, enum controller want, char out[static PATH_MAX],
                        size_t *out_top)
{
    char path[PATH_MAX];
    struct mount m;

    if (!find_path(root, want, path) || !find_mount(root, want, &m))
        return false;
    const char *below = path;
    size_t len = strlen(m.root);
    if (strcmp(m.root, "/") != 0) /* a part of the hierarchy is mounted: ours is it, or below */
        below = strncmp(path, m.root, len) == 0 && (path[len] == '/' || path[len] == '\0')
                    ? path + len
                    : "";
    if (strstr(below, "/..") != NULL) /* outside of our cgroup namespace */
        below = "";
    int n = snprintf(out, PATH_MAX, "%s%s", root, m.point);
    if (n < 0 || n >= PATH_MAX)
        return false;
    *out_top = (size_t)n;
    n = snprintf(out + n, PATH_MAX - (size_t)n, "%s", strcmp(below, "/") == 0 ? "" : below);
    return n >= 0 && (size_t)n < PATH_MAX - *out_top;
}

/* One file below a folder as text. */
static bool read_below(const char *folder, const char *name, char *out, size_t size)
{
    char path[PATH_MAX + 64];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return read_line(path, out, size);
}

static void note_quota(struct limits_probe *p, long long quota, long long period)
{
    if (quota <= 0 || period <= 0)
        return;
    unsigned long long mcpu = (unsigned long long)quota * 1000 / (unsigned long long)period;
    if (mcpu == 0)
        mcpu = 1;
    if (mcpu < UINT32_MAX && (p->quota_mcpu == 0 || mcpu < p->quota_mcpu))
        p->quota_mcpu = (uint32_t)mcpu;
}

static void note_memory(struct limits_probe *p, const char *text)
{
    char *end;
    unsigned long long bytes = strtoull(text, &end, 10);

    if (end == text || bytes == 0 || bytes >= MEMORY_UNLIMITED) /* "max", or v1's huge number */
        return;
    if (p->memory_bytes == 0 || bytes < p->memory_bytes)
        p->memory_bytes = bytes;
}

static void read_level(struct limits_probe *p, enum controller kind, const char *folder)
{
    char text[128], more[128];
    long long quota, period;

    switch (kind) {
    case UNIFIED:
        if (read_below(folder, "cpu.max", text, sizeof(text)) &&
            sscanf(text, "%lld %lld", &quota, &period) == 2) /* "max 100000" is no number */
            note_quota(p, quota, period);
        if (read_below(folder, "memory.max", text, sizeof(text)))
            note_memory(p, text);
        return;
    case CPU_V1:
        if (read_below(folder, "cpu.cfs_quota_us", text, sizeof(text)) &&
            read_below(folder, "cpu.cfs_period_us", more, sizeof(more)))
            note_quota(p, strtoll(text, NULL, 10), strtoll(more, NULL, 10));
        return;
    case MEMORY_V1:
        if (read_below(folder, "memory.limit_in_bytes", text, sizeof(text)))
            note_memory(p, text);
        return;
    }
}

/* From our cgroup up to the mount: a limit above holds for what is below. */
static bool read_hierarchy(const char *root, struct limits_probe *p, enum controller kind)
{
    char folder[PATH_MAX];
    size_t top;

    if (!find_folder(root, kind, folder, &top))
        return false;
    for (;;) {
        read_level(p, kind, folder);
        char *slash = strrchr(folder, '/');
        if (strlen(folder) <= top || slash == NULL)
            return true;
        *slash = '\0';
    }
}

void limits_probe_cgroup(const char *root, struct limits_probe *out)
{
    out->quota_mcpu = 0;
    out->memory_bytes = 0;
    bool v1_cpu = read_hierarchy(root, out, CPU_V1);
    bool v1_memory = read_hierarchy(root, out, MEMORY_V1);
    bool v2 = read_hierarchy(root, out, UNIFIED);
    out->cgroup = v1_cpu || v1_memory ? "v1" : v2 ? "v2" : "none";
}

void limits_probe_cores(struct limits_probe *p)
{
    uint32_t quota = (p->quota_mcpu + 999) / 1000; /* 1.5 cores are worth two threads */

    p->cores = p->affinity;
    if (quota != 0 && quota < p->cores)
        p->cores = quota;
    if (p->cores == 0)
        p->cores = 1;
}

static uint32_t count_affinity(void)
{
    for (int cpus = 1024; cpus <= 1 << 20; cpus *= 2) {
        cpu_set_t *set = CPU_ALLOC((size_t)cpus);
        size_t size = CPU_ALLOC_SIZE((size_t)cpus);
        if (set == NULL)
            return 1;
        int rc = sched_getaffinity(0, size, set);
        int err = errno;
        uint32_t n = rc == 0 ? (uint32_t)CPU_COUNT_S(size, set) : 0;
        CPU_FREE(set);
        if (rc == 0)
            return n;
        if (err != EINVAL) /* EINVAL: the machine has more than fit */
            return 1;
    }
    return 1;
}

static uint64_t raise_files(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 1024;
    rlim_t had = limit.rlim_cur;
    if (limit.rlim_max == RLIM_INFINITY) {
        char text[64];
        limit.rlim_max = read_line("/proc/sys/fs/nr_open", text, sizeof(text))
                             ? (rlim_t)strtoull(text, NULL, 10)
                             : 1 << 20;
    }
    limit.rlim_cur = limit.rlim_max;
    if (had < limit.rlim_cur && setrlimit(RLIMIT_NOFILE, &limit) < 0)
        return had;
    return had < limit.rlim_cur ? limit.rlim_cur : had;
}

void limits_probe(struct limits_probe *out)
{
    *out = (struct limits_probe){.affinity = count_affinity(), .files = raise_files()};
    limits_probe_cgroup("", out);
    limits_probe_cores(out);
}

uint32_t limits_probe_connections(const struct limits_probe *p, uint64_t needed, uint64_t wished,
                                  const char **out_by)
{
    uint64_t left = p->files > needed ? p->files - needed : 0;
    uint64_t most = (left - (wished < left / 4 ? wished : left / 4)) / 2;

    *out_by = "open files";
    if (p->memory_bytes != 0) {
        uint64_t rest = p->memory_bytes > 2 * PROCESS_BYTES ? p->memory_bytes - PROCESS_BYTES
                                                            : p->memory_bytes / 2;
        if (rest / CONNECTION_BYTES < most) {
            most = rest / CONNECTION_BYTES;
            *out_by = "memory";
        }
    }
    if (most < 1)
        most = 1;
    return most < UINT32_MAX ? (uint32_t)most : UINT32_MAX;
}

void limits_probe_describe(const struct limits_probe *p, char *out, size_t size)
{
    char quota[64] = "", memory[64] = "no memory limit";

    if (p->quota_mcpu != 0)
        snprintf(quota, sizeof(quota), ", cgroup %s quota %u.%02u", p->cgroup, p->quota_mcpu / 1000,
                 p->quota_mcpu % 1000 / 10);
    if (p->memory_bytes != 0)
        snprintf(memory, sizeof(memory), "memory limit %llu MiB",
                 (unsigned long long)(p->memory_bytes >> 20));
    snprintf(out, size, "%u usable core%s (affinity %u%s), %llu open files, %s", p->cores,
             p->cores == 1 ? "" : "s", p->affinity, quota, (unsigned long long)p->files, memory);
}
