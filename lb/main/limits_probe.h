/* limits_probe.h - what the machine (or container) lets us use: cores, memory, open files.
 * Found once at start, said in one log line, and the base of the derived limits. */
#ifndef SLUICE_MAIN_LIMITS_PROBE_H
#define SLUICE_MAIN_LIMITS_PROBE_H

#include <stddef.h>
#include <stdint.h>

struct limits_probe {
    uint32_t affinity;     /* cores that this process may run on */
    uint32_t quota_mcpu;   /* cgroup CPU quota in 1/1000 core; 0: none */
    uint32_t cores;        /* of both: the smaller one, rounded up, at least 1 */
    uint64_t memory_bytes; /* cgroup memory limit; 0: none */
    uint64_t files;        /* RLIMIT_NOFILE after raising it */
    const char *cgroup;    /* static: "v2", "v1", "none" */
};

/* Reads everything and raises RLIMIT_NOFILE to its hard limit. Nothing here fails: what cannot be
 * read does not limit. */
void limits_probe(struct limits_probe *out);
/* The cgroup part alone, with proc and sys below root ("" in earnest): quota_mcpu, memory_bytes,
 * cgroup. Each level up to the mount counts, the lowest wins. */
void limits_probe_cgroup(const char *root, struct limits_probe *out);
/* Sets cores. */
void limits_probe_cores(struct limits_probe *p);

/* How many connections fit; what limits them in *out_by (static text). A connection has two
 * descriptors, and memory in the kernel above all. needed: descriptors without which nothing works;
 * wished: more that would be good to have, where there are few they get a quarter of the rest. */
uint32_t limits_probe_connections(const struct limits_probe *p, uint64_t needed, uint64_t wished,
                                  const char **out_by);
/* "2 cores (affinity 2, cgroup v2 quota 1.50), 20000 open files, memory limit 512 MiB". */
void limits_probe_describe(const struct limits_probe *p, char *out, size_t size);

#endif
