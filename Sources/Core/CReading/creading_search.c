// The hot loop of translation. A node costs four independent loads and four compares. Up to 64 slots
// are one node, up to 4,160 are two levels. A top node with few keys costs one cache line. There is
// no branch to mispredict: each number of levels has its own function.
//
// Measured on Zen 4 with AVX-512 at random addresses, an earlier version with nodes of 16 64-bit keys
// and a loop over the levels took 5.6 ns at 64 slots and 7.6 at 512 for independent lookups, 13.6 and
// 19.6 for dependent ones. `memslot-bench lookup` prints the present figures. Buckets by address bits,
// in plain code, were as fast for evenly spread slots, but took twice as long for clusters.
#include "creading_search.h"

#include <stddef.h>
#include <string.h>

enum { narrow_keys = CREADING_NODE_BYTES / 4, wide_keys = CREADING_NODE_BYTES / 8 };

// The padding of a node is larger than any narrow key, so a page must stay below it too. A wide page
// number always does.
static inline int32_t narrow_page(uint64_t address) {
    uint64_t page = address >> CREADING_PAGE_SHIFT;
    return page < INT32_MAX ? (int32_t)page : INT32_MAX - 1;
}

static inline int64_t wide_page(uint64_t address) {
    return (int64_t)(address >> CREADING_PAGE_SHIFT);
}

// Descends `levels` levels. With `is_line` all keys of the top node are in its first cache line.
// Where both are constant, there is neither a loop nor a branch.
#define DESCENT(attribute, isa, width, key)                                                         \
    attribute static inline __attribute__((always_inline)) uint64_t isa##_##width(                  \
        const struct creading_tree *tree, uint64_t address, uint64_t levels, int is_line) {         \
        key page = width##_page(address);                                                           \
        const key *top = tree->level[levels - 1];                                                   \
        uint64_t node =                                                                             \
            is_line ? isa##_##width##_line(top, page) : isa##_##width##_count(top, page);           \
        for (uint64_t level = levels - 1; level-- > 0;) {                                           \
            const key *keys = (const key *)tree->level[level] + node * width##_keys;                \
            uint64_t below = level == 0 ? width##_keys : width##_keys + 1;                          \
            node = node * below + isa##_##width##_count(keys, page);                                \
        }                                                                                           \
        return node;                                                                                \
    }                                                                                               \
    SEARCHES(attribute, isa, width, 1, 1)                                                           \
    SEARCHES(attribute, isa, width, 2, 2)                                                           \
    SEARCHES(attribute, isa, width, 3, 3)                                                           \
    SEARCHES(attribute, isa, width, many, tree->count)                                              \
    static creading_search isa##_##width##_search(uint64_t levels, uint64_t top_keys) {             \
        int is_line = top_keys <= width##_keys / 4;                                                 \
        switch (levels) {                                                                           \
        case 1: return is_line ? isa##_##width##_line_1 : isa##_##width##_node_1;                   \
        case 2: return is_line ? isa##_##width##_line_2 : isa##_##width##_node_2;                   \
        case 3: return is_line ? isa##_##width##_line_3 : isa##_##width##_node_3;                   \
        default: return is_line ? isa##_##width##_line_many : isa##_##width##_node_many;            \
        }                                                                                           \
    }

#define SEARCHES(attribute, isa, width, name, levels)                                               \
    attribute static uint64_t isa##_##width##_node_##name(                                          \
        const struct creading_tree *tree, uint64_t address) {                                       \
        return isa##_##width(tree, address, levels, 0);                                             \
    }                                                                                               \
    attribute static uint64_t isa##_##width##_line_##name(                                          \
        const struct creading_tree *tree, uint64_t address) {                                       \
        return isa##_##width(tree, address, levels, 1);                                             \
    }

// Returns how many keys of a node, or of its first line, are not above `page`.
static inline uint64_t plain_narrow_count(const int32_t *keys, int32_t page) {
    uint32_t count = 0;
    for (int key = 0; key < narrow_keys; key++) count += keys[key] <= page;
    return count;
}

static inline uint64_t plain_wide_count(const int64_t *keys, int64_t page) {
    uint64_t count = 0;
    for (int key = 0; key < wide_keys; key++) count += keys[key] <= page;
    return count;
}

static inline uint64_t plain_narrow_line(const int32_t *keys, int32_t page) {
    uint32_t count = 0;
    for (int key = 0; key < narrow_keys / 4; key++) count += keys[key] <= page;
    return count;
}

static inline uint64_t plain_wide_line(const int64_t *keys, int64_t page) {
    uint64_t count = 0;
    for (int key = 0; key < wide_keys / 4; key++) count += keys[key] <= page;
    return count;
}

DESCENT(, plain, narrow, int32_t)
DESCENT(, plain, wide, int64_t)

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX512 __attribute__((target("avx512f,avx512bw,popcnt")))
#define AVX2 __attribute__((target("avx2,popcnt")))

AVX512 static inline uint64_t avx512_narrow_line(const int32_t *keys, int32_t page) {
    __m512i wanted = _mm512_set1_epi32(page);
    __mmask16 mask = _mm512_cmple_epi32_mask(_mm512_load_si512(keys), wanted);
    return (uint64_t)__builtin_popcount(_cvtmask16_u32(mask));
}

AVX512 static inline uint64_t avx512_wide_line(const int64_t *keys, int64_t page) {
    __m512i wanted = _mm512_set1_epi64(page);
    __mmask8 mask = _mm512_cmple_epi64_mask(_mm512_load_si512(keys), wanted);
    return (uint64_t)__builtin_popcount((uint32_t)mask);
}

// Two halves are packed and counted in parallel; one mask of 64 bits would wait for another packing.
AVX512 static inline uint64_t avx512_narrow_count(const int32_t *keys, int32_t page) {
    __m512i wanted = _mm512_set1_epi32(page);
    __mmask16 a = _mm512_cmple_epi32_mask(_mm512_load_si512(keys), wanted);
    __mmask16 b = _mm512_cmple_epi32_mask(_mm512_load_si512(keys + 16), wanted);
    __mmask16 c = _mm512_cmple_epi32_mask(_mm512_load_si512(keys + 32), wanted);
    __mmask16 d = _mm512_cmple_epi32_mask(_mm512_load_si512(keys + 48), wanted);
    uint32_t low = _cvtmask32_u32(_mm512_kunpackw(b, a));
    uint32_t high = _cvtmask32_u32(_mm512_kunpackw(d, c));
    return (uint64_t)(__builtin_popcount(low) + __builtin_popcount(high));
}

AVX512 static inline uint64_t avx512_wide_count(const int64_t *keys, int64_t page) {
    __m512i wanted = _mm512_set1_epi64(page);
    __mmask8 a = _mm512_cmple_epi64_mask(_mm512_load_si512(keys), wanted);
    __mmask8 b = _mm512_cmple_epi64_mask(_mm512_load_si512(keys + 8), wanted);
    __mmask8 c = _mm512_cmple_epi64_mask(_mm512_load_si512(keys + 16), wanted);
    __mmask8 d = _mm512_cmple_epi64_mask(_mm512_load_si512(keys + 24), wanted);
    uint32_t low = _cvtmask16_u32(_mm512_kunpackb(b, a));
    uint32_t high = _cvtmask16_u32(_mm512_kunpackb(d, c));
    return (uint64_t)(__builtin_popcount(low) + __builtin_popcount(high));
}

// Compares the 32 bytes of keys at `keys`; sets the lanes of those above `wanted`.
AVX2 static inline __m256i avx2_above_narrow(const int32_t *keys, __m256i wanted) {
    return _mm256_cmpgt_epi32(_mm256_load_si256((const __m256i *)keys), wanted);
}

AVX2 static inline __m256i avx2_above_wide(const int64_t *keys, __m256i wanted) {
    return _mm256_cmpgt_epi64(_mm256_load_si256((const __m256i *)keys), wanted);
}

// Packs masks of 32-bit lanes to 8 bits a lane. The order of the lanes does not matter.
AVX2 static inline uint64_t avx2_narrow_count(const int32_t *keys, int32_t page) {
    __m256i wanted = _mm256_set1_epi32(page);
    unsigned int above = 0;
    for (int half = 0; half < 2; half++, keys += narrow_keys / 2) {
        __m256i low = _mm256_packs_epi32(
            avx2_above_narrow(keys, wanted), avx2_above_narrow(keys + 8, wanted));
        __m256i high = _mm256_packs_epi32(
            avx2_above_narrow(keys + 16, wanted), avx2_above_narrow(keys + 24, wanted));
        unsigned int bytes = (unsigned int)_mm256_movemask_epi8(_mm256_packs_epi16(low, high));
        above += (unsigned int)__builtin_popcount(bytes);
    }
    return narrow_keys - above;
}

AVX2 static inline uint64_t avx2_wide_count(const int64_t *keys, int64_t page) {
    __m256i wanted = _mm256_set1_epi64x(page);
    unsigned int above = 0;
    for (int key = 0; key < wide_keys; key += 4) {
        __m256d mask = _mm256_castsi256_pd(avx2_above_wide(keys + key, wanted));
        above |= (unsigned int)_mm256_movemask_pd(mask) << key;
    }
    return wide_keys - (uint64_t)__builtin_popcount(above);
}

AVX2 static inline uint64_t avx2_narrow_line(const int32_t *keys, int32_t page) {
    __m256i wanted = _mm256_set1_epi32(page);
    __m256i above = _mm256_packs_epi32(
        avx2_above_narrow(keys, wanted), avx2_above_narrow(keys + 8, wanted));
    // Two bits for each key.
    unsigned int bytes = (unsigned int)_mm256_movemask_epi8(above);
    return narrow_keys / 4 - (uint64_t)__builtin_popcount(bytes) / 2;
}

AVX2 static inline uint64_t avx2_wide_line(const int64_t *keys, int64_t page) {
    __m256i wanted = _mm256_set1_epi64x(page);
    __m256i above = _mm256_packs_epi32(
        avx2_above_wide(keys, wanted), avx2_above_wide(keys + 4, wanted));
    unsigned int bytes = (unsigned int)_mm256_movemask_epi8(above);
    return wide_keys / 4 - (uint64_t)__builtin_popcount(bytes) / 4;
}

DESCENT(AVX512, avx512, narrow, int32_t)
DESCENT(AVX512, avx512, wide, int64_t)
DESCENT(AVX2, avx2, narrow, int32_t)
DESCENT(AVX2, avx2, wide, int64_t)
#endif

#define OF_WIDTH(isa)                                                                               \
    (width == CREADING_NARROW ? isa##_narrow_search(levels, top_keys)                               \
                              : isa##_wide_search(levels, top_keys))

creading_search creading_named_search(
    const char *name, enum creading_width width, uint64_t levels, uint64_t top_keys) {
#if defined(__x86_64__)
    int has_popcnt = __builtin_cpu_supports("popcnt");
    if (strcmp(name, "avx512") == 0) {
        int is_there = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
        return is_there && has_popcnt ? OF_WIDTH(avx512) : NULL;
    }
    if (strcmp(name, "avx2") == 0)
        return __builtin_cpu_supports("avx2") && has_popcnt ? OF_WIDTH(avx2) : NULL;
#endif
    return strcmp(name, "plain") == 0 ? OF_WIDTH(plain) : NULL;
}

creading_search creading_fastest_search(
    enum creading_width width, uint64_t levels, uint64_t top_keys) {
    creading_search fastest = creading_named_search("avx512", width, levels, top_keys);
    if (fastest == NULL) fastest = creading_named_search("avx2", width, levels, top_keys);
    return fastest != NULL ? fastest : OF_WIDTH(plain);
}
