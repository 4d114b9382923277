/* cmd_misc.c - small commands about the whole process. */
#include "lb/admin/command.h"
#include "lb/admin/rows.h"
#include "lb/admin/sampler.h"
#include "lb/base/slab.h"
#include "lb/upstream/pool.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void cmd_misc_show_version(struct command *c)
{
    static const char *const columns[] = {"version"};
    struct process_info process;
    struct rows r;

    c->env->ops->process_info(c->env->ops->ctx, &process);
    if (!command_has(c, "json")) {
        command_note(c, SEVERITY_INFO, "%s", process.version);
        return;
    }
    rows_begin(&r, c->out, true, columns, 1);
    rows_text(&r, process.version);
    rows_end(&r);
}

void cmd_misc_show_backend(struct command *c)
{
    static const char *const columns[] = {"name"};
    struct rows r;

    rows_begin(&r, c->out, command_has(c, "json"), columns, 1);
    for (uint32_t i = 0; i < c->env->ops->n_pools; i++)
        rows_text(&r, c->env->ops->pools[i]->name);
    rows_end(&r);
}

void cmd_misc_show_ready(struct command *c)
{
    static const char *const columns[] = {"ready", "reason"};
    const char *reason = c->env->ops->not_ready_reason(c->env->ops->ctx);
    struct rows r;

    if (command_has(c, "json")) {
        rows_begin(&r, c->out, true, columns, ARRAY_LEN(columns));
        rows_bool(&r, reason == NULL);
        rows_text(&r, reason != NULL ? reason : "");
        rows_end(&r);
    } else if (reason != NULL) {
        strbuf_addf(c->out, "not ready: %s\n", reason);
    } else {
        strbuf_add_cstr(c->out, "ready\n");
    }
}

void cmd_misc_show_config(struct command *c)
{
    const struct admin_ops *ops = c->env->ops;

    if (ops->dump_config == NULL)
        command_refuse(c, "The configuration is not available.");
    else
        ops->dump_config(ops->ctx, c->out);
}

/* Refused requests are marked as a warning, so that scripts can tell without reading. */
void cmd_misc_explain(struct command *c)
{
    const struct admin_ops *ops = c->env->ops;
    bool json = command_arg_is(c, 0, "json");
    uint32_t skip = c->n_name + json;
    struct strbuf answer = {0};

    if (ops->explain == NULL) {
        command_refuse(c, "No requests are routed here.");
        return;
    }
    int rc = ops->explain(ops->ctx, c->words + skip, c->n_words - skip, json, &answer);
    if (rc < 0)
        command_refuse(c, STR_FMT, STR_ARG(answer));
    else
        strbuf_add_str(c->out, strbuf_str(&answer));
    if (rc > 0)
        c->severity = SEVERITY_WARNING;
    strbuf_fini(&answer);
}

static void add_variable(struct rows *r, struct strbuf *out, bool json, const char *entry)
{
    const char *equals = strchr(entry, '=');
    char name[256];

    if (!json) {
        strbuf_addf(out, "%s\n", entry);
        return;
    }
    snprintf(name, sizeof(name), "%.*s", equals != NULL ? (int)(equals - entry) : 255, entry);
    rows_text(r, name);
    rows_text(r, equals != NULL ? equals + 1 : "");
}

void cmd_misc_show_env(struct command *c)
{
    static const char *const columns[] = {"name", "value"};
    bool json = command_has(c, "json");
    struct str name = command_arg_is(c, 0, "json") ? STR("") : command_arg(c, 0);
    struct rows r = {0};
    uint32_t found = 0;

    if (json)
        rows_begin(&r, c->out, true, columns, ARRAY_LEN(columns));
    for (char **e = environ; *e != NULL; e++) {
        struct str entry = str_of(*e);
        if (name.len > 0 && !(str_starts(entry, name) && entry.p[name.len] == '='))
            continue;
        add_variable(&r, c->out, json, *e);
        found++;
    }
    if (name.len > 0 && found == 0)
        command_refuse(c, "Variable not found");
    else if (json)
        rows_end(&r);
}

/* Mode tcp has no protocol to get wrong; monitoring scripts ask all the same. */
void cmd_misc_show_errors(struct command *c)
{
    struct process_info process;
    char stamp[32];
    struct tm tm;

    if (command_has(c, "json")) {
        strbuf_add_cstr(c->out, "[]\n");
        return;
    }
    c->env->ops->process_info(c->env->ops->ctx, &process);
    time_t now = (time_t)(process.now_wall_us / 1000000);
    localtime_r(&now, &tm);
    strftime(stamp, sizeof(stamp), "%d/%b/%Y:%H:%M:%S", &tm);
    strbuf_addf(c->out, "Total events captured on [%s.%03u] : 0\n", stamp,
                (unsigned)(process.now_wall_us / 1000 % 1000));
}

void cmd_misc_clear_counters(struct command *c)
{
    bool all = command_arg_is(c, 0, "all");

    if (!all && command_arg(c, 0).len > 0)
        command_refuse(c, "'clear counters' expects nothing or 'all'.");
    else if (all && c->session->level < CONTROL_ADMIN)
        command_refuse(c, "Permission denied");
    else
        sampler_clear(c->env->sampler, all);
}

/* ---- workers ---- */

struct activity {
    const char *name;
    uint64_t (*read)(const struct admin_ops *ops, uint32_t worker);
};

static uint64_t read_sessions(const struct admin_ops *ops, uint32_t w)
{
    return counter_get(&ops->workers[w].sessions);
}

static uint64_t read_sessions_open(const struct admin_ops *ops, uint32_t w)
{
    return counter_get(&ops->workers[w].sessions_open);
}

static uint64_t read_memory_refused(const struct admin_ops *ops, uint32_t w)
{
    return counter_get(&ops->workers[w].memory_refused);
}

static uint64_t read_busy_ms(const struct admin_ops *ops, uint32_t w)
{
    return counter_get(&ops->workers[w].busy_us) / 1000;
}

static uint64_t read_idle_ms(const struct admin_ops *ops, uint32_t w)
{
    return counter_get(&ops->workers[w].idle_us) / 1000;
}

/* A worker's engine exists once it has started. */
#define ENGINE_READER(field)                                                                       \
    static uint64_t read_##field(const struct admin_ops *ops, uint32_t w)                          \
    {                                                                                              \
        return ops->engines[w] != NULL ? counter_get(&ops->engines[w]->field) : 0;                 \
    }
ENGINE_READER(turns)
ENGINE_READER(syscalls)
ENGINE_READER(completions)
ENGINE_READER(recvs)
ENGINE_READER(sends)
ENGINE_READER(sends_blocked)
ENGINE_READER(accepts)
ENGINE_READER(connects)
ENGINE_READER(no_buffers)
ENGINE_READER(cq_overflows)
ENGINE_READER(bytes_spliced)
ENGINE_READER(batch_max)

static const struct activity activities[] = {
    {"sessions", read_sessions},
    {"sessions_open", read_sessions_open},
    {"memory_refused", read_memory_refused},
    {"busy_ms", read_busy_ms},
    {"idle_ms", read_idle_ms},
    {"loops", read_turns},
    {"syscalls", read_syscalls},
    {"completions", read_completions},
    {"batch_max", read_batch_max},
    {"accepted", read_accepts},
    {"connects", read_connects},
    {"recvs", read_recvs},
    {"sends", read_sends},
    {"sends_blocked", read_sends_blocked},
    {"buf_wait", read_no_buffers},
    {"cq_overflows", read_cq_overflows},
    {"bytes_spliced", read_bytes_spliced},
};

static void activity_json(struct command *c)
{
    const char *columns[ARRAY_LEN(activities) + 1] = {"thread"};
    struct rows r;

    for (size_t i = 0; i < ARRAY_LEN(activities); i++)
        columns[i + 1] = activities[i].name;
    rows_begin(&r, c->out, true, columns, ARRAY_LEN(columns));
    for (uint32_t w = 0; w < c->env->ops->n_workers; w++) {
        rows_number(&r, w + 1);
        for (size_t i = 0; i < ARRAY_LEN(activities); i++)
            rows_number(&r, (int64_t)activities[i].read(c->env->ops, w));
    }
    rows_end(&r);
}

/* One line each: the total (of batch_max: the greatest), then every worker's. */
void cmd_misc_show_activity(struct command *c)
{
    const struct admin_ops *ops = c->env->ops;
    struct process_info process;

    if (command_has(c, "json")) {
        activity_json(c);
        return;
    }
    ops->process_info(ops->ctx, &process);
    strbuf_addf(c->out, "date_now: %" PRIu64 ".%06" PRIu64 "\n", process.now_wall_us / 1000000,
                process.now_wall_us % 1000000);
    for (size_t i = 0; i < ARRAY_LEN(activities); i++) {
        uint64_t total = 0;
        for (uint32_t w = 0; w < ops->n_workers; w++) {
            uint64_t v = activities[i].read(ops, w);
            if (activities[i].read == read_batch_max)
                total = v > total ? v : total;
            else
                total += v;
        }
        strbuf_addf(c->out, "%s: %" PRIu64 " [", activities[i].name, total);
        for (uint32_t w = 0; w < ops->n_workers; w++)
            strbuf_addf(c->out, " %" PRIu64, activities[i].read(ops, w));
        strbuf_add_cstr(c->out, " ]\n");
    }
}

static void pools_of_workers(struct command *c, bool json)
{
    static const char *const columns[] = {"thread",       "buffers", "buffers_used",
                                          "buffer_bytes", "pipes",   "pipes_used"};
    static const struct io_stats none;
    const struct admin_ops *ops = c->env->ops;
    struct rows r;

    rows_begin(&r, c->out, json, columns, ARRAY_LEN(columns));
    for (uint32_t w = 0; w < ops->n_workers; w++) {
        const struct io_stats *e = ops->engines[w] != NULL ? ops->engines[w] : &none;
        rows_number(&r, w + 1);
        rows_number(&r, counter_get(&e->bufs_total));
        rows_number(&r, counter_get(&e->bufs_used));
        rows_number(&r, (int64_t)counter_get(&e->bufs_total) * LIMIT_BUF_SIZE);
        rows_number(&r, counter_get(&e->pipes_open));
        rows_number(&r, counter_get(&e->pipes_used));
    }
    rows_end(&r);
}

/* The slabs of one name: of each worker one, mostly. */
struct slab_sum {
    char name[32]; /* without blanks, which separate columns */
    uint64_t size, used, allocated, failed;
};

struct slab_sums {
    struct slab_sum sums[48]; /* there are far fewer names; further ones are left out */
    uint32_t n;
};

static void add_slab(void *arg, const struct slab *s)
{
    struct slab_sums *all = arg;
    char name[sizeof(all->sums[0].name)];
    uint32_t i = 0;

    snprintf(name, sizeof(name), "%s", s->name);
    for (char *p = name; *p != '\0'; p++)
        if (*p == ' ')
            *p = '_';
    while (i < all->n && (strcmp(all->sums[i].name, name) != 0 || all->sums[i].size != s->size))
        i++;
    if (i == ARRAY_LEN(all->sums))
        return;
    struct slab_sum *sum = &all->sums[i];
    if (i == all->n) {
        all->n++;
        memcpy(sum->name, name, sizeof(name));
        sum->size = s->size;
    }
    sum->used += counter_get(&s->used);
    sum->allocated += counter_get(&s->allocated);
    sum->failed += counter_get(&s->failed);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct slab_sum *)a)->name, ((const struct slab_sum *)b)->name);
}

static void pools_of_objects(struct command *c, bool json)
{
    static const char *const columns[] = {"slab", "object_bytes", "used", "allocated", "failed"};
    struct slab_sums all = {.n = 0};
    struct rows r;

    slab_each(add_slab, &all);
    qsort(all.sums, all.n, sizeof(all.sums[0]), by_name);
    rows_begin(&r, c->out, json, columns, ARRAY_LEN(columns));
    for (uint32_t i = 0; i < all.n; i++) {
        rows_text(&r, all.sums[i].name);
        rows_number(&r, (int64_t)all.sums[i].size);
        rows_number(&r, (int64_t)all.sums[i].used);
        rows_number(&r, (int64_t)all.sums[i].allocated);
        rows_number(&r, (int64_t)all.sums[i].failed);
    }
    rows_end(&r);
}

/* Two tables: buffers and pipes of each worker; objects by kind, of all threads together. */
void cmd_misc_show_pools(struct command *c)
{
    bool json = command_has(c, "json");

    if (json)
        strbuf_add_cstr(c->out, "{\"workers\":");
    pools_of_workers(c, json);
    if (json)
        strbuf_add_cstr(c->out, ",\"slabs\":");
    pools_of_objects(c, json);
    if (json)
        strbuf_add_cstr(c->out, "}\n");
}
