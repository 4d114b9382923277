/* h1_scan_x86.h - the scanners of h1_scan.h with vectors of 16 and 32 bytes.
 *
 * A set of ASCII characters is two tables of 16 bytes that one shuffle each looks up: low[c & 15]
 * has a bit for each row (c >> 4) that holds such a character of the set, high[c >> 4] has the bit
 * of that row. Their AND is zero where c is not in the set. A shuffle gives zero for an index with
 * its top bit set, so non-ASCII bytes are in none.
 *
 * What is shorter than a vector at the end of the bytes is looked at one by one. Names are short:
 * for them 16 bytes are better than 32. */
#ifndef SLUICE_HTTP_H1_SCAN_X86_H
#define SLUICE_HTTP_H1_SCAN_X86_H

#include <immintrin.h>

#define SSE42  __attribute__((target("sse4.2")))
#define AVX2   __attribute__((target("avx2")))
#define INLINE static inline __attribute__((always_inline))

/* Made from byte_class.c; test_h1_parse.c compares them byte by byte. */
#define TOKEN_LOW                                                                                  \
    (char)0xe8, (char)0xfc, (char)0xf8, (char)0xfc, (char)0xfc, (char)0xfc, (char)0xfc,            \
        (char)0xfc, (char)0xf8, (char)0xf8, (char)0xf4, 0x54, (char)0xd0, 0x54, (char)0xf4, 0x70
#define PATH_LOW                                                                                   \
    (char)0xb8, (char)0xfc, (char)0xf8, (char)0xf8, (char)0xfc, (char)0xfc, (char)0xfc,            \
        (char)0xfc, (char)0xfc, (char)0xfc, (char)0xfc, 0x7c, (char)0xd4, 0x7c, (char)0xf4, 0x74
#define QUERY_LOW                                                                                  \
    (char)0xf8, (char)0xfc, (char)0xfc, (char)0xf8, (char)0xfc, (char)0xfc, (char)0xfc,            \
        (char)0xfc, (char)0xfc, (char)0xfc, (char)0xfc, (char)0xfc, (char)0xfc, (char)0xfc,        \
        (char)0xfc, 0x7c
#define ROWS 1, 2, 4, 8, 16, 32, 64, (char)128, 0, 0, 0, 0, 0, 0, 0, 0

/* ---- 16 bytes ---- */

/* A bit for each byte that is not in the set. */
SSE42 INLINE unsigned not_in_set_16(const char *p, __m128i low)
{
    const __m128i high = _mm_setr_epi8(ROWS);
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i row = _mm_and_si128(_mm_srli_epi16(bytes, 4), _mm_set1_epi8(15));
    __m128i in_set = _mm_and_si128(_mm_shuffle_epi8(low, bytes), _mm_shuffle_epi8(high, row));
    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(in_set, _mm_setzero_si128()));
}

/* A bit for each control byte but tab. */
SSE42 INLINE unsigned control_16(const char *p)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
    __m128i tab = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t'));
    __m128i del = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_andnot_si128(tab, low), del));
}

SSE42 INLINE const char *scan_set_16(const char *p, const char *end, __m128i low, unsigned class)
{
    for (; end - p >= 16; p += 16) {
        unsigned others = not_in_set_16(p, low);
        if (others != 0)
            return p + __builtin_ctz(others);
    }
    return scan_class(p, end, class);
}

SSE42 static const char *token_sse42(const char *p, const char *end)
{
    return scan_set_16(p, end, _mm_setr_epi8(TOKEN_LOW), BYTE_TOKEN);
}

SSE42 static const char *path_sse42(const char *p, const char *end)
{
    return scan_set_16(p, end, _mm_setr_epi8(PATH_LOW), BYTE_PATH);
}

SSE42 static const char *query_sse42(const char *p, const char *end)
{
    return scan_set_16(p, end, _mm_setr_epi8(QUERY_LOW), BYTE_QUERY);
}

SSE42 static const char *value_sse42(const char *p, const char *end)
{
    for (; end - p >= 16; p += 16) {
        unsigned controls = control_16(p);
        if (controls != 0)
            return p + __builtin_ctz(controls);
    }
    return scan_class(p, end, BYTE_VALUE);
}

static const struct h1_scan scan_sse42 = {token_sse42, path_sse42, query_sse42, value_sse42};

/* ---- 32 bytes ---- */

AVX2 INLINE const char *scan_set_32(const char *p, const char *end, __m128i low16, unsigned class)
{
    const __m256i low = _mm256_broadcastsi128_si256(low16);
    const __m256i high = _mm256_broadcastsi128_si256(_mm_setr_epi8(ROWS));

    for (; end - p >= 32; p += 32) {
        __m256i bytes = _mm256_loadu_si256((const __m256i *)(const void *)p);
        __m256i row = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), _mm256_set1_epi8(15));
        __m256i in_set =
            _mm256_and_si256(_mm256_shuffle_epi8(low, bytes), _mm256_shuffle_epi8(high, row));
        __m256i others = _mm256_cmpeq_epi8(in_set, _mm256_setzero_si256());
        unsigned mask = (unsigned)_mm256_movemask_epi8(others);
        if (mask != 0)
            return p + __builtin_ctz(mask);
    }
    return scan_set_16(p, end, low16, class);
}

AVX2 static const char *token_avx2(const char *p, const char *end)
{
    return scan_set_16(p, end, _mm_setr_epi8(TOKEN_LOW), BYTE_TOKEN);
}

AVX2 static const char *path_avx2(const char *p, const char *end)
{
    return scan_set_32(p, end, _mm_setr_epi8(PATH_LOW), BYTE_PATH);
}

AVX2 static const char *query_avx2(const char *p, const char *end)
{
    return scan_set_32(p, end, _mm_setr_epi8(QUERY_LOW), BYTE_QUERY);
}

AVX2 static const char *value_avx2(const char *p, const char *end)
{
    for (; end - p >= 32; p += 32) {
        __m256i bytes = _mm256_loadu_si256((const __m256i *)(const void *)p);
        __m256i low = _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, _mm256_set1_epi8(0x1f)), bytes);
        __m256i tab = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('\t'));
        __m256i del = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(0x7f));
        __m256i controls = _mm256_or_si256(_mm256_andnot_si256(tab, low), del);
        unsigned mask = (unsigned)_mm256_movemask_epi8(controls);
        if (mask != 0)
            return p + __builtin_ctz(mask);
    }
    return value_sse42(p, end);
}

static const struct h1_scan scan_avx2 = {token_avx2, path_avx2, query_avx2, value_avx2};

#undef INLINE

#endif
