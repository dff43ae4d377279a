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

// Each translates `count` addresses and adds the host addresses up. `zero` must be 0: the sum so
// far, masked by it, is added to each address, so that a translation can't begin before the one
// before it has ended.
uint64_t ys_binary_search(
    const struct ys_table *table, const uint64_t *addresses, size_t count, uint64_t zero);
uint64_t ys_node_search(
    const struct ys_table *table, const uint64_t *addresses, size_t count, uint64_t zero);
// The range of the translation before is looked at first, then nodes.
uint64_t ys_last_hit_search(
    const struct ys_table *table, const uint64_t *addresses, size_t count, uint64_t zero);
// The shape of vm-memory's GuestRegionCollection: a sorted vector of pointers to regions, each an
// allocation of its own, searched by a binary search that follows the pointer at each step.
uint64_t ys_pointer_search(
    const struct ys_table *table, const uint64_t *addresses, size_t count, uint64_t zero);

#endif
