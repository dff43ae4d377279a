// Passes over whole slot arrays: what comparing and checking them takes at least.
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

// How many slots of each kind a comparison found.
struct ys_changes {
    uint64_t added;
    uint64_t removed;
    uint64_t moved;
    uint64_t reflagged;
    uint64_t replaced;
};

// Reads every byte of both arrays once: the floor.
uint64_t ys_read_both(
    const struct ys_slot *old, size_t old_count, const struct ys_slot *new, size_t new_count);

// Compares two arrays that are sorted by id, slot by slot, in one pass; `operations` takes a word
// for each change and has room for both arrays.
struct ys_changes ys_merge(
    const struct ys_slot *old, size_t old_count, const struct ys_slot *new, size_t new_count,
    uint64_t *operations);

// The shape of QEMU's address_space_update_topology: one pass over both lists that deletes, a
// second one that adds; by guest address.
struct ys_changes ys_flat_walk(
    const struct ys_slot *old, size_t old_count, const struct ys_slot *new, size_t new_count,
    uint64_t *operations);

// Alignment, overflow, each id once, no overlap. Sorts by guest address (radix) where the array
// isn't. `scratch` has room for 2 * count + (1 << 20) / 64 + 2048 words. Returns the faults.
uint64_t ys_validate(const struct ys_slot *slots, size_t count, uint64_t *scratch);

// Sorts by id (radix) into `sorted`; `scratch` has room for `count` slots.
void ys_sort_by_id(
    const struct ys_slot *slots, size_t count, struct ys_slot *sorted, struct ys_slot *scratch);

// MARK: Passes over bytes: what reading or writing a message takes at least

// Copies all bytes.
void ys_copy(void *to, const void *from, size_t count);

// Looks at every byte of a JSON text and counts brackets, commas and colons outside of strings,
// and the digits within: the plain loop of a scanner that keeps nothing.
uint64_t ys_scan(const uint8_t *text, size_t count);

// Reads the numbers of a text like `{"a":1,"b":"0x2"}` into words, as they come: a scanner for
// this one shape, without any check. Returns how many.
size_t ys_read_numbers(const uint8_t *text, size_t count, uint64_t *numbers, size_t room);

#endif
