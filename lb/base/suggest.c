/* suggest.c - see suggest.h. Optimal string alignment distance: insertions, deletions, changes and
 * swaps of neighbours count one each; a change of case counts nothing, so `Mode` finds `mode`. */
#include "lb/base/suggest.h"

#include <ctype.h>
#include <limits.h>

enum { WORD_MAX = 64 }; /* longer words get no suggestion */

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned m = a < b ? a : b;
    return m < c ? m : c;
}

static int lower(char c)
{
    return tolower((unsigned char)c);
}

static unsigned distance(struct str a, struct str b)
{
    unsigned rows[3][WORD_MAX + 1]; /* the row two above, the one above, this one */
    unsigned *before = rows[0], *above = rows[1], *row = rows[2];

    for (unsigned j = 0; j <= b.len; j++)
        above[j] = j;
    memset(before, 0, sizeof(rows[0]));
    for (unsigned i = 1; i <= a.len; i++) {
        row[0] = i;
        for (unsigned j = 1; j <= b.len; j++) {
            bool same = lower(a.p[i - 1]) == lower(b.p[j - 1]);
            row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + !same);
            if (i > 1 && j > 1 && lower(a.p[i - 1]) == lower(b.p[j - 2]) &&
                lower(a.p[i - 2]) == lower(b.p[j - 1]) && before[j - 2] + 1 < row[j])
                row[j] = before[j - 2] + 1;
        }
        unsigned *spare = before;
        before = above;
        above = row;
        row = spare;
    }
    return above[b.len];
}

void suggest_begin(struct suggest *s, struct str word)
{
    *s = (struct suggest){.word = word, .distance = UINT_MAX};
}

void suggest_offer(struct suggest *s, const char *candidate)
{
    struct str c = str_of(candidate);

    if (s->word.len == 0 || s->word.len > WORD_MAX || c.len == 0 || c.len > WORD_MAX)
        return;
    unsigned d = distance(s->word, c);
    if (d < s->distance) {
        s->distance = d;
        s->best = candidate;
    }
}

const char *suggest_best(const struct suggest *s)
{
    unsigned longest = (unsigned)s->word.len;

    if (s->best == NULL)
        return NULL;
    if (strlen(s->best) > longest)
        longest = (unsigned)strlen(s->best);
    /* A third of the letters may be wrong; of short words, one, but never all of them. */
    unsigned allowed = longest / 3 > 0 ? longest / 3 : 1;
    return s->distance <= allowed && s->distance < longest ? s->best : NULL;
}

void suggest_print(const struct suggest *s, struct strbuf *out)
{
    const char *best = suggest_best(s);

    if (best != NULL)
        strbuf_addf(out, " (did you mean \"%s\"?)", best);
}
