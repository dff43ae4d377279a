// Yardsticks: small C functions of our own for the same work, so that a benchmark can give a ratio
// from one run. The project itself uses none of them.
//
// These pass over whole slot arrays: the least that comparing and validating them can cost.
#ifndef YS_ARRAYS_H
#define YS_ARRAYS_H

#include <stddef.h>
#include <stdint.h>

// A slot in 40 bytes.
struct ys_slot {
    uint32_t id;
    uint32_t flags;
    uint64_t guest;
    uint64_t size;
    uint64_t host;
    uint64_t memory;
};

// The number of changes of each kind.
struct ys_changes {
    uint64_t added;
    uint64_t removed;
    uint64_t moved;
    uint64_t reflagged;
    uint64_t replaced;
};

// Compares two arrays that are sorted by id in one pass. Writes one word for each change to
// `operations`, which has room for both arrays.
struct ys_changes ys_merge(
    const struct ys_slot *old, size_t old_count, const struct ys_slot *new, size_t new_count,
    uint64_t *operations);

// Validates alignment, overflow, unique ids and overlap. Sorts an unsorted array by guest address
// (radix sort). `scratch` has room for 2 * count + (1 << 20) / 64 + 2048 words. Returns the number
// of faults.
uint64_t ys_validate(const struct ys_slot *slots, size_t count, uint64_t *scratch);

// Sorts by id, below 2^22, into `result` (radix sort). `scratch` has room as for ys_validate.
void ys_sort_by_id(
    const struct ys_slot *slots, size_t count, struct ys_slot *result, uint64_t *scratch);

#endif
