#include "yardsticks.h"

#include <string.h>

static inline enum ys_change classify(const struct ys_slot *before, const struct ys_slot *after) {
    uint64_t fixed = (before->size ^ after->size) | (before->host ^ after->host) |
                     (before->memory ^ after->memory) |
                     ((before->flags ^ after->flags) & ~1u);
    if (fixed != 0) return YS_REPLACED;
    if (before->guest != after->guest) return YS_MOVED;
    return before->flags != after->flags ? YS_REFLAGGED : YS_SAME;
}

static inline uint64_t operation(enum ys_change kind, size_t index) {
    return (uint64_t)kind << 56 | (uint64_t)index;
}

void ys_merge(
    const struct ys_slot *old, size_t old_count, const struct ys_slot *new, size_t new_count,
    uint64_t *operations, uint64_t *changes) {
    size_t i = 0, j = 0, count = 0;
    memset(changes, 0, YS_KINDS * sizeof *changes);
    while (i < old_count && j < new_count) {
        enum ys_change kind;
        if (__builtin_expect(old[i].id == new[j].id, 1)) {
            kind = classify(&old[i++], &new[j++]);
            if (__builtin_expect(kind == YS_SAME, 1)) continue;
        } else if (old[i].id < new[j].id) {
            kind = YS_REMOVED;
            i += 1;
        } else {
            kind = YS_ADDED;
            j += 1;
        }
        changes[kind] += 1;
        operations[count++] = operation(kind, kind == YS_REMOVED ? i - 1 : j - 1);
    }
    changes[YS_REMOVED] += old_count - i;
    changes[YS_ADDED] += new_count - j;
    for (; i < old_count; i++) operations[count++] = operation(YS_REMOVED, i);
    for (; j < new_count; j++) operations[count++] = operation(YS_ADDED, j);
}

// Sorts the first `count` words of the scratch memory: pairs of a key below 2^key_bits and an index,
// of 40 and 24 bits. Small arrays use small digits: clearing the sums would dominate otherwise.
static const uint64_t *sorted(uint64_t *scratch, size_t count, int key_bits) {
    uint64_t *words = scratch, *other = scratch + count;
    uint64_t *sums = scratch + 2 * count + (1 << 20) / 64;
    int bits = count < 4096 ? 7 : 11;
    uint64_t mask = (1u << bits) - 1;
    for (int shift = 24; shift < 24 + key_bits; shift += bits) {
        memset(sums, 0, (mask + 1) * sizeof *sums);
        for (size_t i = 0; i < count; i++) sums[words[i] >> shift & mask] += 1;
        // If all have the same digit, the pass would change nothing.
        if (sums[words[0] >> shift & mask] == count) continue;
        uint64_t sum = 0;
        for (size_t digit = 0; digit <= mask; digit++) {
            uint64_t own = sums[digit];
            sums[digit] = sum;
            sum += own;
        }
        for (size_t i = 0; i < count; i++)
            other[sums[words[i] >> shift & mask]++] = words[i];
        uint64_t *swap = words;
        words = other;
        other = swap;
    }
    return words;
}

uint64_t ys_validate(const struct ys_slot *slots, size_t count, uint64_t *scratch) {
    if (count == 0) return 0;
    uint64_t faults = 0, disorder = 0, unsorted = 0;
    for (size_t i = 0; i < count; i++) {
        const struct ys_slot *slot = &slots[i];
        faults += ((slot->guest | slot->size | slot->host) & 4095) != 0;
        faults += slot->size == 0;
        faults += slot->guest + slot->size < slot->guest;
        faults += (slot->guest + slot->size) >> 52 != 0;
        faults += (slot->flags & ~3u) != 0;
        if (i == 0) continue;
        unsorted += slots[i - 1].id >= slot->id;
        disorder += slots[i - 1].guest + slots[i - 1].size > slot->guest;
    }
    if (unsorted > 0) {
        uint64_t *seen = scratch + 2 * count;
        memset(seen, 0, (1 << 20) / 8);
        for (size_t i = 0; i < count; i++) {
            uint32_t id = slots[i].id & 0xfffff;
            faults += seen[id / 64] >> (id % 64) & 1;
            seen[id / 64] |= 1ull << (id % 64);
        }
    }
    if (disorder == 0) return faults;
    for (size_t i = 0; i < count; i++) scratch[i] = slots[i].guest >> 12 << 24 | i;
    const uint64_t *order = sorted(scratch, count, 40);
    for (size_t i = 1; i < count; i++) {
        const struct ys_slot *before = &slots[order[i - 1] & 0xffffff];
        faults += before->guest + before->size > slots[order[i] & 0xffffff].guest;
    }
    return faults;
}

void ys_sort_by_id(
    const struct ys_slot *slots, size_t count, struct ys_slot *result, uint64_t *scratch) {
    for (size_t i = 0; i < count; i++) scratch[i] = (uint64_t)slots[i].id << 24 | i;
    const uint64_t *order = sorted(scratch, count, 22);
    for (size_t i = 0; i < count; i++) result[i] = slots[order[i] & 0xffffff];
}
