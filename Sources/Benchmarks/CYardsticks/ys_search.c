#include "yardsticks.h"

#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { node_keys = 16, most_levels = 6 };
enum { page_bits = 12, radix_bits = 9, radix_fan = 1 << radix_bits };

struct range {
    uint64_t start;
    uint64_t size;
    uint64_t host;
};

// As a processor's page table of three levels: the host address of each page, 0 where there is none.
struct leaf {
    uint64_t pages[radix_fan];
};

struct middle {
    struct leaf *leaves[radix_fan];
};

struct ys_table {
    size_t count;
    uint64_t *starts;
    struct range *ranges;
    // The first keys of the nodes of the level below, 16 a node; the lowest level is the starts.
    int levels;
    uint64_t *keys[most_levels];
    struct middle *root[radix_fan];
    // What has no page leads here, so that no step of a walk is a branch.
    struct middle no_middle;
    struct leaf no_leaf;
};

static inline uint64_t translated(const struct range *range, uint64_t address) {
    uint64_t offset = address - range->start;
    return offset < range->size ? range->host + offset : 0;
}

static int build_levels(struct ys_table *table) {
    const uint64_t *below = table->starts;
    size_t count = table->count;
    for (table->levels = 0; table->levels < most_levels; table->levels++) {
        size_t nodes = (count + node_keys - 1) / node_keys;
        uint64_t *keys = aligned_alloc(64, nodes * node_keys * sizeof *keys);
        if (keys == NULL) return 0;
        size_t step = table->levels == 0 ? 1 : node_keys;
        for (size_t i = 0; i < nodes * node_keys; i++) {
            keys[i] = i < count ? below[i * step] : UINT64_MAX;
        }
        table->keys[table->levels] = keys;
        if (nodes == 1) {
            table->levels += 1;
            return 1;
        }
        below = keys;
        count = nodes;
    }
    return 0;
}

static int build_radix(struct ys_table *table) {
    for (int i = 0; i < radix_fan; i++) {
        table->root[i] = &table->no_middle;
        table->no_middle.leaves[i] = &table->no_leaf;
    }
    for (size_t i = 0; i < table->count; i++) {
        const struct range *range = &table->ranges[i];
        for (uint64_t offset = 0; offset < range->size; offset += 1 << page_bits) {
            uint64_t page = (range->start + offset) >> page_bits;
            if (page >> 3 * radix_bits) return 0;
            struct middle **middle = &table->root[page >> 2 * radix_bits];
            if (*middle == &table->no_middle) {
                if ((*middle = malloc(sizeof **middle)) == NULL) return 0;
                **middle = table->no_middle;
            }
            struct leaf **leaf = &(*middle)->leaves[page >> radix_bits & (radix_fan - 1)];
            if (*leaf == &table->no_leaf && (*leaf = calloc(1, sizeof **leaf)) == NULL) return 0;
            (*leaf)->pages[page & (radix_fan - 1)] = range->host + offset;
        }
    }
    return 1;
}

struct ys_table *ys_table_make(
    const uint64_t *starts, const uint64_t *sizes, const uint64_t *hosts, size_t count) {
    struct ys_table *table = calloc(1, sizeof *table);
    if (table == NULL || count == 0) return NULL;
    table->count = count;
    table->starts = malloc(count * sizeof *table->starts);
    table->ranges = malloc(count * sizeof *table->ranges);
    if (table->starts == NULL || table->ranges == NULL) return NULL;
    memcpy(table->starts, starts, count * sizeof *starts);
    for (size_t i = 0; i < count; i++)
        table->ranges[i] = (struct range){starts[i], sizes[i], hosts[i]};
    return build_levels(table) && build_radix(table) ? table : NULL;
}

void ys_table_free(struct ys_table *table) {
    if (table == NULL) return;
    for (int level = 0; level < table->levels; level++) free(table->keys[level]);
    for (int i = 0; i < radix_fan; i++) {
        if (table->root[i] == &table->no_middle) continue;
        for (int j = 0; j < radix_fan; j++)
            if (table->root[i]->leaves[j] != &table->no_leaf) free(table->root[i]->leaves[j]);
        free(table->root[i]);
    }
    free(table->ranges);
    free(table->starts);
    free(table);
}

// Compiled once with a mask of 0, and once with a mask that the compiler does not know.
#define SUM_UP(attribute, name, step)                                                              \
    attribute static inline __attribute__((always_inline)) uint64_t name##_masked(                 \
        const struct ys_table *table, const uint64_t *addresses, size_t count, uint64_t mask) {    \
        uint64_t sum = 0;                                                                          \
        const struct range *last = table->ranges;                                                  \
        (void)last;                                                                                \
        for (size_t i = 0; i < count; i++) {                                                       \
            uint64_t address = addresses[i] + (sum & mask);                                        \
            sum += step;                                                                           \
        }                                                                                          \
        return sum;                                                                                \
    }                                                                                              \
    attribute static uint64_t name(                                                                \
        const struct ys_table *table, const uint64_t *addresses, size_t count,                     \
        bool is_chained) {                                                                         \
        volatile uint64_t nothing = 0;                                                             \
        return is_chained ? name##_masked(table, addresses, count, nothing)                        \
                          : name##_masked(table, addresses, count, 0);                             \
    }

static inline uint64_t translate_by_radix(const struct ys_table *table, uint64_t address) {
    uint64_t page = address >> page_bits;
    if (page >> 3 * radix_bits) return 0;
    const struct middle *middle = table->root[page >> 2 * radix_bits];
    const struct leaf *leaf = middle->leaves[page >> radix_bits & (radix_fan - 1)];
    uint64_t host = leaf->pages[page & (radix_fan - 1)];
    return host ? host + (address & ((1 << page_bits) - 1)) : 0;
}

// Nodes are padded with the largest number, which must not be found; no slot contains that address.
static inline uint64_t findable(uint64_t address) { return address - (address == UINT64_MAX); }

static inline const struct range *find_portable(const struct ys_table *table, uint64_t address) {
    address = findable(address);
    size_t node = 0;
    for (int level = table->levels - 1; level >= 0; level--) {
        const uint64_t *keys = table->keys[level] + node * node_keys;
        size_t rank = 0;
        for (int i = 0; i < node_keys; i++) rank += keys[i] <= address;
        node = node * node_keys + rank - (rank > 0);
    }
    return &table->ranges[node];
}

// The range of the previous translation if it contains the address, otherwise the result of `find`.
#define UNLESS_LAST(find)                                                                          \
    translated(                                                                                    \
        __builtin_expect(address - last->start < last->size, 1) ? last                             \
                                                                : (last = find(table, address)),   \
        address)

// Segment after segment, by the range of the previous segment if it contains the next.
#define SCATTER(attribute, name, find)                                                             \
    attribute static size_t name(                                                                  \
        const struct ys_table *table, const uint64_t *ranges, size_t count,                        \
        struct ys_segment *segments, size_t most) {                                                \
        const struct range *last = table->ranges;                                                  \
        size_t used = 0;                                                                           \
        for (size_t i = 0; i < count; i++) {                                                       \
            uint64_t address = ranges[2 * i], left = ranges[2 * i + 1];                            \
            if (left > 0 && address + (left - 1) < address) return 0;                              \
            while (left > 0) {                                                                     \
                if (address - last->start >= last->size) last = find(table, address);              \
                uint64_t offset = address - last->start;                                           \
                if (offset >= last->size || used == most) return 0;                                \
                uint64_t size = last->size - offset < left ? last->size - offset : left;           \
                segments[used++] = (struct ys_segment){last->host + offset, size};                 \
                address += size;                                                                   \
                left -= size;                                                                      \
            }                                                                                      \
        }                                                                                          \
        return used;                                                                               \
    }

SCATTER(, scatter_portable, find_portable)
SUM_UP(, sum_radix, translate_by_radix(table, address))
SUM_UP(, sum_last_portable, UNLESS_LAST(find_portable))

#if defined(__x86_64__)
#define YS_AVX512 __attribute__((target("avx512f,popcnt")))

YS_AVX512 static inline size_t rank_avx512(const uint64_t *keys, uint64_t address) {
    __m512i wanted = _mm512_set1_epi64((long long)address);
    __mmask8 low = _mm512_cmple_epu64_mask(_mm512_load_si512(keys), wanted);
    __mmask8 high = _mm512_cmple_epu64_mask(_mm512_load_si512(keys + 8), wanted);
    return (size_t)__builtin_popcount((unsigned)low | (unsigned)high << 8);
}

YS_AVX512 static inline const struct range *find_avx512(
    const struct ys_table *table, uint64_t address) {
    address = findable(address);
    size_t node = 0;
    for (int level = table->levels - 1; level >= 0; level--) {
        size_t rank = rank_avx512(table->keys[level] + node * node_keys, address);
        node = node * node_keys + rank - (rank > 0);
    }
    return &table->ranges[node];
}

SUM_UP(YS_AVX512, sum_last_avx512, UNLESS_LAST(find_avx512))

SCATTER(YS_AVX512, scatter_avx512, find_avx512)

int ys_has_avx512(void) { return __builtin_cpu_supports("avx512f") != 0; }
#define IF_AVX512(wide, portable) (ys_has_avx512() ? (wide) : (portable))
#else
int ys_has_avx512(void) { return 0; }
#define IF_AVX512(wide, portable) (portable)
#endif

uint64_t ys_translate(
    enum ys_search search, const struct ys_table *table, const uint64_t *addresses, size_t count,
    bool is_chained) {
    switch (search) {
    case YS_RADIX: return sum_radix(table, addresses, count, is_chained);
    case YS_LAST_HIT:
        return IF_AVX512(sum_last_avx512, sum_last_portable)(table, addresses, count, is_chained);
    }
    return 0;
}

size_t ys_scatter(
    const struct ys_table *table, const uint64_t *ranges, size_t count, struct ys_segment *segments,
    size_t most) {
    return IF_AVX512(scatter_avx512, scatter_portable)(table, ranges, count, segments, most);
}
