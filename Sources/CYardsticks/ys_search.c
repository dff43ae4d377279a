// See the header.
#include "ys_search.h"

#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { node_keys = 16, most_levels = 6 };

struct range {
    uint64_t start;
    uint64_t size;
    uint64_t host;
};

struct ys_table {
    size_t count;
    uint64_t *starts;
    struct range *ranges;
    // As vm-memory has them: each on its own.
    struct range **regions;
    // The first keys of the nodes of the level below, 16 a node; the lowest level is the starts.
    int levels;
    uint64_t *keys[most_levels];
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

struct ys_table *ys_table_make(
    const uint64_t *starts, const uint64_t *sizes, const uint64_t *hosts, size_t count) {
    struct ys_table *table = calloc(1, sizeof *table);
    if (table == NULL || count == 0) return NULL;
    table->count = count;
    table->starts = malloc(count * sizeof *table->starts);
    table->ranges = malloc(count * sizeof *table->ranges);
    table->regions = calloc(count, sizeof *table->regions);
    if (table->starts == NULL || table->ranges == NULL || table->regions == NULL) return NULL;
    memcpy(table->starts, starts, count * sizeof *starts);
    for (size_t i = 0; i < count; i++) {
        table->ranges[i] = (struct range){starts[i], sizes[i], hosts[i]};
        // A GuestRegionMmap in an Arc has 88 bytes.
        struct range *region = malloc(88);
        if (region == NULL) return NULL;
        *region = table->ranges[i];
        table->regions[i] = region;
    }
    return build_levels(table) ? table : NULL;
}

void ys_table_free(struct ys_table *table) {
    if (table == NULL) return;
    for (size_t i = 0; i < table->count; i++) free(table->regions[i]);
    for (int level = 0; level < table->levels; level++) free(table->keys[level]);
    free(table->regions);
    free(table->ranges);
    free(table->starts);
    free(table);
}

uint64_t ys_binary_search(
    const struct ys_table *table, const uint64_t *addresses, size_t count, uint64_t zero) {
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t address = addresses[i] + (sum & zero);
        const uint64_t *base = table->starts;
        for (size_t length = table->count; length > 1;) {
            size_t half = length / 2;
            // Without the hint, clang makes a branch of it, which is faster only where it is guessed.
            base = __builtin_unpredictable(base[half] <= address) ? base + half : base;
            length -= half;
        }
        sum += translated(&table->ranges[base - table->starts], address);
    }
    return sum;
}

uint64_t ys_pointer_search(
    const struct ys_table *table, const uint64_t *addresses, size_t count, uint64_t zero) {
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t address = addresses[i] + (sum & zero);
        struct range *const *base = table->regions;
        for (size_t length = table->count; length > 1;) {
            size_t half = length / 2;
            base = __builtin_unpredictable(base[half]->start <= address) ? base + half : base;
            length -= half;
        }
        sum += translated(*base, address);
    }
    return sum;
}

// Nodes are filled up with the largest number, which must not be found; no slot holds that address.
static inline uint64_t findable(uint64_t address) { return address - (address == UINT64_MAX); }

#if defined(__x86_64__)
#define YS_AVX512 __attribute__((target("avx512f,popcnt")))

YS_AVX512 static inline size_t rank_avx512(const uint64_t *keys, uint64_t address) {
    __m512i wanted = _mm512_set1_epi64((long long)address);
    __mmask8 low = _mm512_cmple_epu64_mask(_mm512_load_si512(keys), wanted);
    __mmask8 high = _mm512_cmple_epu64_mask(_mm512_load_si512(keys + 8), wanted);
    return (size_t)__builtin_popcount((unsigned)low | (unsigned)high << 8);
}

YS_AVX512 static inline size_t find_avx512(const struct ys_table *table, uint64_t address) {
    address = findable(address);
    size_t node = 0;
    for (int level = table->levels - 1; level >= 0; level--) {
        size_t rank = rank_avx512(table->keys[level] + node * node_keys, address);
        node = node * node_keys + rank - (rank > 0);
    }
    return node;
}

YS_AVX512 static uint64_t node_avx512(
    const struct ys_table *table, const uint64_t *addresses, size_t count, uint64_t zero) {
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t address = addresses[i] + (sum & zero);
        sum += translated(&table->ranges[find_avx512(table, address)], address);
    }
    return sum;
}

YS_AVX512 static uint64_t last_hit_avx512(
    const struct ys_table *table, const uint64_t *addresses, size_t count, uint64_t zero) {
    uint64_t sum = 0;
    const struct range *last = table->ranges;
    for (size_t i = 0; i < count; i++) {
        uint64_t address = addresses[i] + (sum & zero);
        if (__builtin_expect(address - last->start >= last->size, 0))
            last = &table->ranges[find_avx512(table, address)];
        sum += translated(last, address);
    }
    return sum;
}

int ys_has_avx512(void) { return __builtin_cpu_supports("avx512f") != 0; }
#else
int ys_has_avx512(void) { return 0; }
#endif

static inline size_t find_portable(const struct ys_table *table, uint64_t address) {
    address = findable(address);
    size_t node = 0;
    for (int level = table->levels - 1; level >= 0; level--) {
        const uint64_t *keys = table->keys[level] + node * node_keys;
        size_t rank = 0;
        for (int i = 0; i < node_keys; i++) rank += keys[i] <= address;
        node = node * node_keys + rank - (rank > 0);
    }
    return node;
}

uint64_t ys_node_search(
    const struct ys_table *table, const uint64_t *addresses, size_t count, uint64_t zero) {
#if defined(__x86_64__)
    if (ys_has_avx512()) return node_avx512(table, addresses, count, zero);
#endif
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t address = addresses[i] + (sum & zero);
        sum += translated(&table->ranges[find_portable(table, address)], address);
    }
    return sum;
}

uint64_t ys_last_hit_search(
    const struct ys_table *table, const uint64_t *addresses, size_t count, uint64_t zero) {
#if defined(__x86_64__)
    if (ys_has_avx512()) return last_hit_avx512(table, addresses, count, zero);
#endif
    uint64_t sum = 0;
    const struct range *last = table->ranges;
    for (size_t i = 0; i < count; i++) {
        uint64_t address = addresses[i] + (sum & zero);
        if (address - last->start >= last->size)
            last = &table->ranges[find_portable(table, address)];
        sum += translated(last, address);
    }
    return sum;
}
