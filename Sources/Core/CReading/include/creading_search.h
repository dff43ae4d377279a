// The search for a slot by its address, with the widest registers that the processor has. Swift
// compiles for the oldest processor of an architecture, which compares two integers at a time.
#ifndef CREADING_SEARCH_H
#define CREADING_SEARCH_H

#include <stdint.h>

// A key is a page number: an address without its lower bits.
#define CREADING_PAGE_SHIFT 12
// Bytes of a node, four cache lines: enough keys that 4,096 slots need two levels.
#define CREADING_NODE_BYTES 256
// A tree of six levels holds more keys than a VM has slots.
#define CREADING_LEVELS 6

// The type of a key.
enum creading_width {
    // int32_t, 64 a node: for page numbers below INT32_MAX: addresses below 8 TiB.
    CREADING_NARROW,
    // int64_t, 32 a node.
    CREADING_WIDE,
};

// A search tree over ascending keys. Each level is an array of nodes of K keys, aligned to 64 bytes
// and padded with the largest value. Level 0 holds all keys. Node j of a higher level leads to nodes
// (K + 1)j to (K + 1)j + K of the level below, and holds the first key of each but the first.
struct creading_tree {
    const void *level[CREADING_LEVELS];
    uint64_t count;
};

// Returns how many keys are not above `address`.
typedef uint64_t (*creading_search)(const struct creading_tree *tree, uint64_t address);

// Returns the fastest search that this processor can run, for trees of `levels` levels, 1 to
// CREADING_LEVELS, with `top_keys` keys in the top node.
creading_search creading_fastest_search(
    enum creading_width width, uint64_t levels, uint64_t top_keys);

// Returns a search by its name, "avx512", "avx2" or "plain"; NULL where this processor can't run it.
creading_search creading_named_search(
    const char *name, enum creading_width width, uint64_t levels, uint64_t top_keys);

#endif
