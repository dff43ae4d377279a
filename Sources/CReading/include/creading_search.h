// The search for a slot by its address, as wide as the processor's registers: Swift compiles for
// the oldest processor of its kind, which compares two integers at a time.
#ifndef CREADING_SEARCH_H
#define CREADING_SEARCH_H

#include <stdint.h>

// Keys of a node: two cache lines.
#define CREADING_KEYS 16
// 17^6 nodes hold more keys than there are slots.
#define CREADING_LEVELS 6

// A search tree over ascending keys. Each level is an array of nodes of CREADING_KEYS keys, at
// addresses that are multiples of 64, filled up with UINT64_MAX. Level 0 holds all keys; node j of
// a higher level leads to the nodes 17j to 17j + 16 below it, and has the first keys of all of
// these but the first.
struct creading_tree {
    const uint64_t *level[CREADING_LEVELS];
    uint64_t count;
};

// How many keys are not above `address`.
typedef uint64_t (*creading_search)(const struct creading_tree *tree, uint64_t address);

// The fastest search that this processor can run.
creading_search creading_fastest_search(void);

// A search by its name, "avx512", "avx2" or "plain"; NULL where this processor can't run it.
creading_search creading_named_search(const char *name);

#endif
