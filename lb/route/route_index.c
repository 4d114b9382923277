/* route_index.c - see route_index.h.
 *
 * The edges of all trees are in two hash tables (labels, segments), keyed by the node above and the
 * text. A walk ends at the first edge that is missing, so its cost is bounded by what the rules
 * hold, whatever a request sends. */
#include "lb/route/route_index.h"

#include "lb/base/alloc.h"
#include "lb/base/hash.h"

#include <stdlib.h>

#define NO_NODE UINT32_MAX

struct edge {
    const char *text;
    uint32_t len;
    uint32_t from;
    uint32_t to; /* NO_NODE: this place is empty */
    uint32_t hash;
};

/* Open addressing, at most half full. */
struct edges {
    struct edge *slots;
    uint32_t mask, n;
    size_t text_max; /* the longest one: longer texts need no hashing */
};

/* Most have one entry, which then is here: a lookup in a large table waits for memory. */
struct list {
    union {
        struct route_entry one;
        struct route_entry *many;
    };
    uint32_t n, cap; /* cap 0: there is room for one */
};

/* A place in a tree of paths. The root stands for the empty path: its `prefix` is for any path. */
struct path_node {
    struct list exact, prefix, below;
};

/* A place in the tree of hosts: the roots of its trees of paths. */
struct host_node {
    uint32_t exact, below;
};

struct route_index {
    struct edges labels, segments;
    struct host_node *hosts; /* 0 is the root: its `below` is for any host */
    uint32_t n_hosts, hosts_cap;
    struct path_node *paths;
    uint32_t n_paths, paths_cap;
};

/* ---- edges ---- */

static uint32_t edge_hash(uint32_t from, struct str text)
{
    return (uint32_t)(hash_bytes(text.p, text.len, from) >> 32);
}

static struct edge *edge_slot(const struct edges *e, uint32_t from, struct str text, uint32_t hash)
{
    for (uint32_t i = hash & e->mask;; i = (i + 1) & e->mask) {
        struct edge *s = &e->slots[i];
        if (s->to == NO_NODE || (s->hash == hash && s->from == from && s->len == text.len &&
                                 (text.len == 0 || memcmp(s->text, text.p, text.len) == 0)))
            return s;
    }
}

static uint32_t edge_find(const struct edges *e, uint32_t from, struct str text)
{
    if (e->n == 0 || text.len > e->text_max)
        return NO_NODE;
    return edge_slot(e, from, text, edge_hash(from, text))->to;
}

static void edges_grow(struct edges *e)
{
    struct edges old = *e;
    uint32_t size = old.slots == NULL ? 16 : (old.mask + 1) * 2;

    e->slots = xcalloc(size, sizeof(*e->slots));
    e->mask = size - 1;
    for (uint32_t i = 0; i < size; i++)
        e->slots[i].to = NO_NODE;
    for (uint32_t i = 0; old.slots != NULL && i <= old.mask; i++) {
        struct edge *s = &old.slots[i];
        if (s->to != NO_NODE)
            *edge_slot(e, s->from, (struct str){s->text, s->len}, s->hash) = *s;
    }
    free(old.slots);
}

static void edge_add(struct edges *e, uint32_t from, struct str text, uint32_t to)
{
    uint32_t hash = edge_hash(from, text);

    if (e->slots == NULL || e->n >= (e->mask + 1) / 2)
        edges_grow(e);
    *edge_slot(e, from, text, hash) = (struct edge){
        .text = text.p, .len = (uint32_t)text.len, .from = from, .to = to, .hash = hash};
    e->n++;
    if (text.len > e->text_max)
        e->text_max = text.len;
}

/* ---- building ---- */

static uint32_t new_path_node(struct route_index *x)
{
    if (x->n_paths == x->paths_cap) {
        x->paths_cap = x->paths_cap == 0 ? 16 : 2 * x->paths_cap;
        x->paths = xrealloc(x->paths, x->paths_cap * sizeof(*x->paths));
    }
    x->paths[x->n_paths] = (struct path_node){0};
    return x->n_paths++;
}

static uint32_t new_host_node(struct route_index *x)
{
    if (x->n_hosts == x->hosts_cap) {
        x->hosts_cap = x->hosts_cap == 0 ? 16 : 2 * x->hosts_cap;
        x->hosts = xrealloc(x->hosts, x->hosts_cap * sizeof(*x->hosts));
    }
    x->hosts[x->n_hosts] = (struct host_node){NO_NODE, NO_NODE};
    return x->n_hosts++;
}

struct route_index *route_index_new(void)
{
    struct route_index *x = xcalloc(1, sizeof(*x));
    new_host_node(x);
    return x;
}

static void list_free(struct list *l)
{
    if (l->cap > 0)
        free(l->many);
}

void route_index_free(struct route_index **x)
{
    if (*x == NULL)
        return;
    for (uint32_t i = 0; i < (*x)->n_paths; i++) {
        list_free(&(*x)->paths[i].exact);
        list_free(&(*x)->paths[i].prefix);
        list_free(&(*x)->paths[i].below);
    }
    free((*x)->paths);
    free((*x)->hosts);
    free((*x)->labels.slots);
    free((*x)->segments.slots);
    free(*x);
    *x = NULL;
}

static void list_add(struct list *l, struct route_entry e)
{
    if (l->n == 0) {
        l->one = e;
        l->n = 1;
        return;
    }
    if (l->cap == 0) {
        struct route_entry one = l->one;
        l->cap = 4;
        l->many = xmalloc(l->cap * sizeof(*l->many));
        l->many[0] = one;
    } else if (l->n == l->cap) {
        l->cap *= 2;
        l->many = xrealloc(l->many, l->cap * sizeof(*l->many));
    }
    l->many[l->n++] = e;
}

/* The last label of a host; *host keeps the others, *more says whether there are any. */
static struct str cut_label(struct str *host, bool *more)
{
    const char *dot = host->len > 0 ? memrchr(host->p, '.', host->len) : NULL;
    struct str label = *host;

    *more = dot != NULL;
    if (dot != NULL) {
        size_t at = (size_t)(dot - host->p);
        label = (struct str){dot + 1, host->len - at - 1};
        host->len = at;
    } else {
        host->len = 0;
    }
    return label;
}

/* The root of the tree of paths for a host. */
static uint32_t host_root(struct route_index *x, enum route_host_kind kind, struct str host)
{
    uint32_t at = 0;

    for (bool more = kind != ROUTE_HOST_ANY; more;) {
        struct str label = cut_label(&host, &more);
        uint32_t next = edge_find(&x->labels, at, label);
        if (next == NO_NODE) {
            next = new_host_node(x);
            edge_add(&x->labels, at, label, next);
        }
        at = next;
    }
    uint32_t root = kind == ROUTE_HOST_EXACT ? x->hosts[at].exact : x->hosts[at].below;
    if (root != NO_NODE)
        return root;
    root = new_path_node(x);
    if (kind == ROUTE_HOST_EXACT)
        x->hosts[at].exact = root;
    else
        x->hosts[at].below = root;
    return root;
}

/* The segment behind the slash that *path begins with; *path keeps what follows it: nothing, or a
 * slash and more. */
static struct str cut_segment(struct str *path)
{
    struct str rest = {path->p + 1, path->len - 1};
    const char *slash = rest.len > 0 ? memchr(rest.p, '/', rest.len) : NULL;
    size_t len = slash == NULL ? rest.len : (size_t)(slash - rest.p);

    *path = (struct str){rest.p + len, rest.len - len};
    return (struct str){rest.p, len};
}

static uint32_t path_node(struct route_index *x, uint32_t at, struct str path)
{
    while (path.len > 0) {
        struct str segment = cut_segment(&path);
        uint32_t next = edge_find(&x->segments, at, segment);
        if (next == NO_NODE) {
            next = new_path_node(x);
            edge_add(&x->segments, at, segment, next);
        }
        at = next;
    }
    return at;
}

void route_index_add(struct route_index *x, enum route_host_kind host_kind, struct str host,
                     enum route_path_kind path_kind, struct str path, struct route_entry entry)
{
    uint32_t root = host_root(x, host_kind, host);
    bool below = path.len > 0 && path.p[path.len - 1] == '/';
    uint32_t at;

    switch (path_kind) {
    case ROUTE_PATH_ANY:
        list_add(&x->paths[root].prefix, entry);
        return;
    case ROUTE_PATH_EXACT:
        at = path_node(x, root, path);
        list_add(&x->paths[at].exact, entry);
        return;
    case ROUTE_PATH_PREFIX:
    case ROUTE_PATH_REGEX:
        path.len -= below;
        at = path_node(x, root, path);
        list_add(below ? &x->paths[at].below : &x->paths[at].prefix, entry);
        return;
    }
    sl_assert(!"an unknown kind of path");
}

/* ---- finding ---- */

static void offer(const struct list *l, route_index_fn *fn, void *arg)
{
    if (l->n > 0)
        fn(arg, (struct route_entries){l->cap > 0 ? l->many : &l->one, l->n});
}

static void find_path(const struct route_index *x, uint32_t at, struct str path, route_index_fn *fn,
                      void *arg)
{
    offer(&x->paths[at].prefix, fn, arg); /* of a root: any path */
    if (path.len == 0 || path.p[0] != '/')
        return;
    while (path.len > 0) {
        offer(&x->paths[at].below, fn, arg);
        at = edge_find(&x->segments, at, cut_segment(&path));
        if (at == NO_NODE)
            return;
        offer(&x->paths[at].prefix, fn, arg);
    }
    offer(&x->paths[at].exact, fn, arg);
}

void route_index_find(const struct route_index *x, struct str host, struct str path,
                      route_index_fn *fn, void *arg)
{
    uint32_t at = 0;

    if (x->hosts[0].below != NO_NODE)
        find_path(x, x->hosts[0].below, path, fn, arg);
    for (bool more = host.len > 0; more;) {
        at = edge_find(&x->labels, at, cut_label(&host, &more));
        if (at == NO_NODE)
            return;
        if (host.len > 0 && x->hosts[at].below != NO_NODE)
            find_path(x, x->hosts[at].below, path, fn, arg);
    }
    if (x->hosts[at].exact != NO_NODE)
        find_path(x, x->hosts[at].exact, path, fn, arg);
}
