/* list.h - intrusive doubly linked list. A node that is in no list points at itself, so
 * list_remove() is safe twice and list_linked() answers whether it is in one. */
#ifndef SLUICE_BASE_LIST_H
#define SLUICE_BASE_LIST_H

#include "lb/base/assert.h"

#include <stdbool.h>

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}
static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}
static inline bool list_linked(const struct list *node)
{
    return node->next != node;
}
static inline void list_insert_between(struct list *node, struct list *prev, struct list *next)
{
    node->prev = prev;
    node->next = next;
    prev->next = node;
    next->prev = node;
}
static inline void list_push_back(struct list *l, struct list *node)
{
    list_insert_between(node, l->prev, l);
}
static inline void list_push_front(struct list *l, struct list *node)
{
    list_insert_between(node, l, l->next);
}
static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}
/* Removes and returns the first node, or NULL. */
static inline struct list *list_pop_front(struct list *l)
{
    struct list *n = l->next;
    if (n == l)
        return NULL;
    list_remove(n);
    return n;
}
/* Moves all nodes of `from` to the end of `to`; `from` is empty afterwards. */
static inline void list_splice_back(struct list *to, struct list *from)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#define list_entry(node, type, member) container_of(node, type, member)
#define list_for_each(it, l)           for (struct list *it = (l)->next; it != (l); it = it->next)
#define list_for_each_safe(it, tmp, l)                                                             \
    for (struct list *it = (l)->next, *tmp = it->next; it != (l); it = tmp, tmp = it->next)

#endif
