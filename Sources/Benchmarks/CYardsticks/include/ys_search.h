// Fast known ways from a guest address to a host address.
#ifndef YS_SEARCH_H
#define YS_SEARCH_H

#include <stddef.h>
#include <stdint.h>

// Sorted, disjoint ranges of guest memory with the indexes of all searches.
struct ys_table;

// Copies `count` ranges, sorted by start. NULL without memory.
struct ys_table *ys_table_make(
    const uint64_t *starts, const uint64_t *sizes, const uint64_t *hosts, size_t count);
void ys_table_free(struct ys_table *table);

// Whether nodes are compared by AVX-512 on this machine, instead of a loop.
int ys_has_avx512(void);

enum ys_search {
    // A branchless binary search of a plain array.
    YS_BINARY,
    // In the way of vm-memory's GuestRegionCollection: a sorted vector of pointers to separately
    // allocated regions; a binary search follows the pointer at each step.
    YS_POINTER,
    // The range of the previous translation first, then nodes of 16 keys.
    YS_LAST_HIT,
};

enum ys_order {
    // All addresses are known beforehand: the processor works on several translations at a time.
    YS_KNOWN,
    // Each address depends on the previous translation, by a mask of 0.
    YS_CHAINED,
};

// Translates `count` addresses and returns the sum of the host addresses.
uint64_t ys_translate(
    enum ys_search search, const struct ys_table *table, const uint64_t *addresses, size_t count,
    enum ys_order order);

struct ys_segment {
    uint64_t host;
    uint64_t size;
};

// Translates `count` ranges, given as start, size, start, size…, to segments of user memory by
// YS_LAST_HIT. Returns the number of segments; 0 if a part of a range has no memory or there are
// more segments than `most`.
size_t ys_scatter(
    const struct ys_table *table, const uint64_t *ranges, size_t count, struct ys_segment *segments,
    size_t most);

#endif
