// From a guest address to a host address, in the ways that are known to be fast.
#ifndef YS_SEARCH_H
#define YS_SEARCH_H

#include <stddef.h>
#include <stdint.h>

// Ranges of guest memory, sorted and apart, with the indexes that the searches use.
struct ys_table;

// Copies `count` ranges, sorted by start. NULL without memory.
struct ys_table *ys_table_make(
    const uint64_t *starts, const uint64_t *sizes, const uint64_t *hosts, size_t count);
void ys_table_free(struct ys_table *table);

// Whether nodes are compared by AVX-512 here; else by what the compiler makes of a loop.
int ys_has_avx512(void);

enum ys_search {
    // Over a plain array, without branches.
    YS_BINARY,
    // The shape of vm-memory's GuestRegionCollection: a sorted vector of pointers to regions, each
    // an allocation of its own, searched by a binary search that follows the pointer at each step.
    YS_POINTER,
    YS_NODES,
    // The range of the translation before is looked at first, then nodes.
    YS_LAST_HIT,
};

enum ys_order {
    // All addresses are known beforehand: a processor works on several translations at a time.
    YS_KNOWN,
    // An address depends on the translation before it, by a mask that keeps nothing.
    YS_CHAINED,
};

// Translates `count` addresses and adds the host addresses up.
uint64_t ys_translate(
    enum ys_search search, const struct ys_table *table, const uint64_t *addresses, size_t count,
    enum ys_order order);

struct ys_segment {
    uint64_t host;
    uint64_t size;
};

// Translates `count` ranges, given as start and size by turns, to pieces of user memory, by
// YS_LAST_HIT. Returns how many pieces there are; 0 where a range has a part that is nowhere, or
// where there are more than `most`.
size_t ys_scatter(
    const struct ys_table *table, const uint64_t *ranges, size_t count, struct ys_segment *segments,
    size_t most);

#endif
