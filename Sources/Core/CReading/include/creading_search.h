// The search for a slot by its address, as wide as the processor's registers: Swift compiles for
// the oldest processor of its kind, which compares two integers at a time.
#ifndef CREADING_SEARCH_H
#define CREADING_SEARCH_H

#include <stdint.h>

// Keys are page numbers: an address without its lower bits.
#define CREADING_PAGE_SHIFT 12
// Bytes of a node, four cache lines: enough keys that 4,096 slots need two levels.
#define CREADING_NODE_BYTES 256
// 33^6 nodes hold more keys than there are slots.
#define CREADING_LEVELS 6

// What a key is.
enum creading_width {
    // int32_t, 64 a node: for page numbers below INT32_MAX, that is addresses below 8 TiB.
    CREADING_NARROW,
    // int64_t, 32 a node.
    CREADING_WIDE,
};

// A search tree over ascending keys. Each level is an array of nodes of K keys, at addresses that
// are multiples of 64, filled up with the largest number there is. Level 0 holds all keys; node j
// of a higher level leads to the nodes (K + 1)j to (K + 1)j + K below it, and has the first keys of
// all of these but the first.
struct creading_tree {
    const void *level[CREADING_LEVELS];
    uint64_t count;
};

// How many keys are not above `address`.
typedef uint64_t (*creading_search)(const struct creading_tree *tree, uint64_t address);

// The fastest search that this processor can run, for trees of so many levels, 1 to
// CREADING_LEVELS, with so many keys in the top node.
creading_search creading_fastest_search(
    enum creading_width width, uint64_t levels, uint64_t top_keys);

// As above, a search by its name, "avx512", "avx2" or "plain"; NULL where this processor can't run
// it.
creading_search creading_named_search(
    const char *name, enum creading_width width, uint64_t levels, uint64_t top_keys);

#endif
